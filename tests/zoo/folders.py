"""From an entry of the zoo to a folder on disk, with weights under which inputs matter."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.zoo.entry import Entry
from tests.zoo.tokenizers import tokenizer as made_tokenizer

#: What tiny models have, under every name in use; a config takes those it knows.
SIZES: Mapping[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "ffn_hidden_size", "d_inner"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "n_inner", "dff"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(
        ("encoder_attention_heads", "decoder_attention_heads", "num_encoder_attention_heads",
         "num_decoder_attention_heads"), 4,
    ),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "d_kv": 8,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len"), 256),
    "embedding_size": 32,
    "moe_intermediate_size": 24,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "top_k_experts"), 2),
}  # fmt: skip
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SPREAD = 0.35  #: standard deviation of the random weights: about twice what keeps a size of 32
#: What means something by its values: decays, steps and gates of recurrent states.
_LEFT_AS_MADE = ("A_log", "dt_bias", "time_", "rg_lru", "norm", "layernorm", "ln_", "layer_norm", "lambda_")
_CLOSELY: Mapping[str, float] = {
    **dict.fromkeys(("q_proj", "k_proj", "query", "key", "q", "k", "q_lin", "k_lin"), 3.0),
    **dict.fromkeys(("v_proj", "out_proj", "value", "v", "o", "v_lin", "out_lin"), 0.5),
}
#: What gives scores to labels speaks quietly, or all scores are 0 and 1.
_HEADS, _QUIETLY = frozenset({"classifier", "score", "classification_head", "logits_proj", "qa_outputs"}), 0.3


class Folders:
    """Folders of models by entry, each built when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __getitem__(self, entry: Entry) -> Path:
        folder = self._root / "".join(c if c.isalnum() else "-" for c in f"{entry.task} {entry.name}")
        if not folder.exists():
            half_done = folder.with_suffix(".building")
            half_done.mkdir(parents=True)
            build(entry, half_done)
            half_done.rename(folder)
        return folder


def build(entry: Entry, folder: Path) -> None:
    """Writes a model: config, weights, generation config, tokenizer. The same each time."""
    seed = zlib.crc32(entry.name.encode())
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = made_tokenizer(entry.tokenizer, Path(scratch), **entry.tokenizer_settings)
        model_class = getattr(hf, entry.model)
        model = model_class(config_of(entry, model_class.config_class, tokenizer)).float()
        enliven(model, seed, looks_closely=entry.looks_closely)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if entry.task in ("generation", "translation"):
            _write_defaults(entry, tokenizer, folder / "generation_config.json")


def config_of(entry: Entry, config_class: Any, tokenizer: Any) -> Any:
    """The config: the tokenizer's tokens, tiny sizes, and the entry's own settings over them."""
    known = set(config_class().to_dict()) - set(config_class.attribute_map)
    settings = {name: size for name, size in SIZES.items() if name in known}
    tokens = {name: getattr(tokenizer, name) for name in _TOKENS}
    start = tokens["pad_token_id"] if tokens["pad_token_id"] is not None else tokens["eos_token_id"]
    if getattr(config_class(), "is_encoder_decoder", False):
        tokens["decoder_start_token_id"] = start
    return config_class(**{**settings, "vocab_size": len(tokenizer), **tokens, **entry.settings})


@torch.no_grad()
def enliven(model: Any, seed: int, *, looks_closely: bool) -> None:
    """Weights with which positions and company matter: as they are initialised, a model repeats one token."""
    stream = torch.Generator().manual_seed(seed)
    factors = _CLOSELY if looks_closely else {}
    for name, parameter in model.named_parameters():
        if any(part in name for part in _LEFT_AS_MADE):
            continue
        *_, owner, kind = ["", *name.split(".")]
        if parameter.dim() > 1:
            factor = _QUIETLY if owner in _HEADS else factors.get(owner, factors.get(kind, 1.0))
            parameter.normal_(0.0, _SPREAD * factor, generator=stream)
        elif kind == "bias" or "bias" in kind:
            parameter.normal_(0.0, 0.1, generator=stream)
    model.tie_weights()


def _write_defaults(entry: Entry, tokenizer: Any, path: Path) -> None:
    """As they are found: transformers itself refuses to write some of what it reads."""
    defaults: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if entry.ends_every:
        own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        more = range(entry.ends_every // 2, len(tokenizer), entry.ends_every)
        defaults["eos_token_id"] = [*own, *(number for number in more if number not in own)]
    path.write_text(json.dumps({**defaults, **entry.defaults}), encoding="utf-8")
