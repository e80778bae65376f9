"""Finds out how a model can be run continuously, by trying.

Whatever transformers calls a causal or an encoder-decoder model is accepted. A few
tokens of two texts go through the model's plain forward pass and through ours; the
first layout by which both say the same is taken. Where none does (recurrent states,
windows, biases that are not passed to the attention function), the caller falls back
on `generate`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from models.engine import attention
from models.engine.arena import Tenant
from models.engine.causal import CausalForward
from models.engine.cross import CrossForward
from models.engine.decoding import Decoding
from models.engine.forward import Layout
from models.engine.options import OptionsMaker
from models.engine.positions import adapt_positions
from models.engine.prompt import Prompt
from models.engine.samples import Samples
from models.engine.scheduler import Chunk, Request
from models.registry import Family, LoadedModel

logger = logging.getLogger(__name__)

#: How far logits may be apart, as a share of their spread: rounding, not a wrong position.
_TOLERANCE = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.08, "int8": 0.3}
_LENGTHS = (7, 4)  # of the two texts
_NUM_STEPS = 2


def fit(loaded: LoadedModel) -> CausalForward | CrossForward | None:
    """The forward pass that suits a model; None when there is none."""
    model: Any = loaded.model
    if not OptionsMaker(loaded.model, loaded.tokenizer).is_served():
        return None
    is_causal = loaded.family is Family.CAUSAL
    before = model.config._attn_implementation
    adapt_positions(model)
    attention.register()
    try:
        model.set_attn_implementation(attention.NAME)
        for layout in (Layout.PACKED, Layout.ROWS) if is_causal else (Layout.ROWS, Layout.PACKED):
            forward = CausalForward(loaded, layout) if is_causal else CrossForward(loaded, layout)
            if _agrees(forward, loaded):
                return forward
    except Exception as error:  # a model's own code may raise anything at all
        logger.info("model does not fit", extra={"action": "model_does_not_fit", "reason": repr(error)})
    model.set_attn_implementation(before)
    return None


@torch.inference_mode()
def _agrees(forward: CausalForward | CrossForward, loaded: LoadedModel) -> bool:
    texts = _texts(loaded)
    try:
        ours = _by_steps(forward, loaded, texts)
    except Exception as error:  # see `fit`
        logger.debug(
            "layout does not fit",
            extra={"action": "layout_does_not_fit", "layout": forward.layout.value, "reason": repr(error)},
        )
        return False
    plain = _plainly(forward, loaded, texts)
    return all(
        _is_close(one, other, _TOLERANCE[loaded.dtype]) for one, other in zip(ours, plain, strict=True)
    )


def _texts(loaded: LoadedModel) -> list[list[int]]:
    """Two texts of arbitrary tokens, with what is decoded after them."""
    embeddings: Any = loaded.model.get_input_embeddings()
    size = int(embeddings.weight.shape[0])
    numbers = torch.randint(
        0, size, (2, max(_LENGTHS) + _NUM_STEPS), generator=torch.Generator().manual_seed(0)
    )
    return [row[: length + _NUM_STEPS].tolist() for row, length in zip(numbers, _LENGTHS, strict=True)]


def _by_steps(
    forward: CausalForward | CrossForward, loaded: LoadedModel, texts: Sequence[list[int]]
) -> list[Tensor]:
    """Logits of the last steps, both texts side by side."""
    maker = OptionsMaker(loaded.model, loaded.tokenizer)
    decodings = []
    for number, ids in enumerate(texts):
        params = {"do_sample": False, "num_beams": 1}
        prompt = Prompt(input_ids=ids[:-_NUM_STEPS], max_new_tokens=_NUM_STEPS + 1, params=params)
        request = Request(key=number, prompt_tokens=len(prompt.input_ids), max_new_tokens=_NUM_STEPS + 1)
        decoding = Decoding(request, Samples(maker.make(prompt), forward.device), Tenant(1))
        forward.enter(decoding, len(ids))
        decodings.append(decoding)
    _begin(forward, decodings)
    logits: list[Tensor] = []
    for step in range(_NUM_STEPS):
        for decoding, ids in zip(decodings, texts, strict=True):
            search = cast("Samples", decoding.search)
            search.accept([ids[step - _NUM_STEPS]], [False])
            search.live = [0]  # whatever the token means, go on
        ordered, rows = (
            forward.step(decodings, []) if isinstance(forward, CausalForward) else forward.step(decodings)
        )
        logits += [rows[ordered.index(decoding)] for decoding in decodings]
        for decoding in decodings:
            decoding.own.num_entries += 1
            decoding.num_positions += 1
    for decoding in decodings:
        decoding.leave()
    return logits


def _begin(forward: CausalForward | CrossForward, decodings: Sequence[Decoding]) -> None:
    if isinstance(forward, CrossForward):
        forward.begin(decodings)
        lengths = [1] * len(decodings)
    else:
        lengths = [decoding.request.prompt_tokens for decoding in decodings]
        for start, count in ((0, 3), (3, None)):  # in two chunks, to see that the second sees the first
            forward.step(
                [],
                [
                    (decoding, Chunk(decoding.request, start, (count or length - start)))
                    for decoding, length in zip(decodings, lengths, strict=True)
                ],
            )
    for decoding, length in zip(decodings, lengths, strict=True):
        decoding.own.num_entries = decoding.num_positions = length
        forward.activate(decoding)


def _plainly(
    forward: CausalForward | CrossForward, loaded: LoadedModel, texts: Sequence[list[int]]
) -> list[Tensor]:
    """The same logits by the model's plain forward pass, one text at a time."""
    model: Any = loaded.model
    by_text = []
    for ids in texts:
        tokens = torch.tensor([ids], device=forward.device)
        if isinstance(forward, CausalForward):
            logits = model(input_ids=tokens, use_cache=False).logits[0]
        else:
            start = OptionsMaker(model, loaded.tokenizer).start_token
            decoded = torch.tensor([[start, *ids[-_NUM_STEPS:]]], device=forward.device)
            logits = model(
                input_ids=tokens[:, :-_NUM_STEPS], decoder_input_ids=decoded, use_cache=False
            ).logits[0]
        by_text.append(logits[-_NUM_STEPS:])
    return [logits[step] for step in range(_NUM_STEPS) for logits in by_text]


def _is_close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    one, other = one.float(), other.float()
    spread = (other - other.mean()).norm()
    return bool((one - other).norm() <= tolerance * spread)
