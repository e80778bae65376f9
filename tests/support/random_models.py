"""Random models of any architecture, from its configuration, and what `generate` makes of each document."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from models.batching.core import Core
from models.batching.plan import Piece
from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.errors import DocumentError
from models.loading.device import Device
from models.loading.registry import LoadedModel, load_model
from models.records import ModelSpec
from tests.support.tiny_models import _byte_pairs

#: Of every configuration here; the tokenizer's first tokens.
BOS, EOS, PAD = 0, 1, 2
NUM_TOKENS = 404
_TOKENS = {"vocab_size": NUM_TOKENS, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
DECODER: dict[str, Any] = {
    **_TOKENS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip
ENCODER_DECODER: dict[str, Any] = {
    **_TOKENS, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "max_position_embeddings": 512, "decoder_start_token_id": EOS,
}  # fmt: skip
PARAMETERS: tuple[dict[str, Any], ...] = (
    {"do_sample": False},
    {"do_sample": False, "num_beams": 3},
    {"do_sample": True, "temperature": 1.5},
    {"do_sample": False, "min_new_tokens": 5},
    {"do_sample": False, "repetition_penalty": 1.3},
)


def save_random(folder: Path, config: Any, model_class: Any, **generation_config: Any) -> Path:
    """Saves a model whose answers vary with what it reads, with a tokenizer."""
    torch.manual_seed(5)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and "norm" in name:
                parameter.fill_(1.0) if name.endswith("weight") else parameter.zero_()
            elif parameter.dim() > 1:
                parameter.normal_(0.0, 0.25 if config.is_encoder_decoder else 0.35)
    model.tie_weights()
    model.save_pretrained(folder)
    save_tokenizer(folder)
    if generation_config:
        path = folder / "generation_config.json"
        settings = json.loads(path.read_text()) | generation_config
        path.write_text(json.dumps(settings))
    return folder


def save_tokenizer(folder: Path) -> None:
    """Byte pairs with BOS, EOS and padding, none of which it adds."""
    trained = _byte_pairs("<s>", "</s>", "<pad>", "<unk>")
    hf.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    ).save_pretrained(folder)


def load_random(folder: Path, device: Device) -> LoadedModel:
    """Loads it as a worker would."""
    spec = ModelSpec(name="m", task="generation", ref=str(folder), dtype="float32", max_batch_tokens=2048)
    return load_model(spec, device)


def random_documents(
    loaded: LoadedModel,
    count: int,
    *,
    longest: int,
    parameters: Sequence[dict[str, Any]] = PARAMETERS,
    seed: int = 3,
) -> list[Prompt]:
    """Prompts of random tokens and lengths."""
    draw = random.Random(seed)
    maker = PromptMaker(loaded)
    prompts = []
    for number in range(count):
        params = dict(parameters[number % len(parameters)])
        if params.get("do_sample"):
            params["seed"] = number
        ids = [draw.randrange(4, NUM_TOKENS - 4) for _ in range(draw.randint(1, longest))]
        prompts.append(maker.make(ids, params, max_new_tokens=draw.randint(3, 12)))
    return prompts


def decode_all(
    core: Core, prompts: Sequence[Prompt], *, seed: int = 0, at_once: int = 5
) -> dict[Hashable, Decoded | DocumentError]:
    """Every prompt as a document of one piece, in random order; each is settled once.

    `at_once` says how many come before a step at most; all of them if it is as many as there are.
    """
    draw = random.Random(seed)
    waiting = list(enumerate(prompts))
    draw.shuffle(waiting)
    results: dict[Hashable, Decoded | DocumentError] = {}
    while waiting or len(results) < len(prompts):
        count = draw.randint(0, at_once) if at_once < len(prompts) else at_once
        newcomers = [waiting.pop() for _ in range(min(len(waiting), count))]
        pieces = [
            Piece(
                key=key,
                index=0,
                num_tokens=len(prompt.input_ids) + prompt.max_new_tokens,
                num_rows=prompt.num_rows,
                data=prompt,
            )
            for key, prompt in newcomers
        ]
        core.add(pieces, 6)
        for piece, result in core.step():
            assert piece.key not in results, "settled twice"
            results[piece.key] = result
            core.discard([piece.key])
    return results


def alone(plain: Any, prompt: Prompt, **options: Any) -> list[list[int]] | Exception:
    """What transformers makes of one document, by a model that has seen no other; or what it raises."""
    model = copy.deepcopy(plain)
    torch.manual_seed(prompt.seed or 0)
    ids = torch.tensor([prompt.input_ids])
    try:
        produced = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=prompt.max_new_tokens,
            pad_token_id=PAD,
            **prompt.params,
            **options,
        )
    except Exception as error:  # whatever a model's own code raises
        return error
    start = 1 if plain.config.is_encoder_decoder else ids.shape[1]
    return [list(row) for row in produced[:, start:].tolist()]
