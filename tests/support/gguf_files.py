"""GGUF files of small models, written with llama.cpp's own package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

#: llama.cpp's names of what transformers calls otherwise.
_PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(
    folder: Path,
    to: Path,
    *,
    quantised: bool = False,
    without: str | None = None,
    extra: Mapping[str, np.ndarray[Any, Any]] | None = None,
    strings: Mapping[str, str] | None = None,
) -> Path:
    """A Qwen 2 as GGUF: of its family, none of the weights are laid out otherwise.

    Args:
        folder: the model as transformers saved it.
        to: the file.
        quantised: weights of products in blocks of eight bits, instead of plain floats.
        without: a tensor that is left out.
        extra: further tensors.
        strings: further metadata.
    """
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(to, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    for key, text in (strings or {}).items():
        writer.add_string(key, text)
    _add_tokenizer(writer, folder)
    for name, values in {**_tensors(folder), **(extra or {})}.items():
        if name == without:
            continue
        if quantised and values.ndim == 2 and values.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def _tensors(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {_renamed(name): values for name, values in load_file(folder / "model.safetensors").items()}


def _renamed(name: str) -> str:
    part, _, kind = name.rpartition(".")
    if part in _OUTSIDE:
        return f"{_OUTSIDE[part]}.{kind}"
    _, _, layer, inside = part.split(".", 3)
    return f"blk.{layer}.{_PARTS[inside]}.{kind}"


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    whole = json.loads((folder / "tokenizer.json").read_text())
    content = whole["model"]
    named = {each["content"] for each in whole["added_tokens"] if each["special"]}
    vocabulary = sorted(content["vocab"], key=content["vocab"].__getitem__)
    special = [text in named for text in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([gguf.TokenType.CONTROL if each else gguf.TokenType.NORMAL for each in special])
    merges = content["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    writer.add_eos_token_id(json.loads((folder / "config.json").read_text())["eos_token_id"])
    writer.add_chat_template(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    )
