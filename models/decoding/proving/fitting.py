"""Tries whether a model can be run continuously, and how its tokens must be laid out for it.

Whatever transformers calls a causal or an encoder-decoder model is accepted. Texts go
through the model's own `generate`, each alone, and through our forward pass, all
together and in chunks; the first layout by which both say the same is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from models.decoding.first import attention
from models.decoding.first.arena import Tenant
from models.decoding.first.causal import CausalForward
from models.decoding.first.cross import CrossForward
from models.decoding.first.decoding import Decoding
from models.decoding.first.scheduler import Chunk, Request
from models.decoding.parameters.options import OptionsMaker
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.arrangement import Layout
from models.decoding.proving.trials import Trial, is_same, on_cpu
from models.decoding.sampling.samples import Samples
from models.loading.registry import Family, LoadedModel
from models.proving.reference import forgetting

logger = logging.getLogger(__name__)


def forward_of(loaded: LoadedModel, layout: Layout) -> CausalForward | CrossForward:
    """Our forward pass; from now on the model attends by the engine's attention."""
    attention.register()
    model: Any = loaded.model
    model.set_attn_implementation(attention.NAME)
    return (CausalForward if loaded.family is Family.CAUSAL else CrossForward)(loaded, layout)


def layouts_of(loaded: LoadedModel) -> tuple[Layout, Layout]:
    """The likely one first."""
    if loaded.family is Family.CAUSAL:
        return (Layout.PACKED, Layout.ROWS)
    return (Layout.ROWS, Layout.PACKED)


def group_layouts_of(loaded: LoadedModel) -> tuple[Layout, ...]:
    """Of groups by pages, which have but one for decoder-only models."""
    return (Layout.ROWS,) if loaded.family is Family.CAUSAL else layouts_of(loaded)


@contextmanager
def tried(loaded: LoadedModel) -> Iterator[None]:
    """Afterwards the model attends as before, and has forgotten what it noted."""
    model: Any = loaded.model
    before = model.config._attn_implementation
    try:
        with forgetting(model):
            yield
    finally:
        model.set_attn_implementation(before)


def agrees(loaded: LoadedModel, layout: Layout, trial: Trial, alone: Sequence[Tensor]) -> str | None:
    """Why a layout does not do; None: it does.

    Args:
        loaded: the model.
        layout: what is tried.
        trial: the texts.
        alone: what `generate` says of each of them.
    """
    try:
        with tried(loaded), torch.inference_mode():
            ours = _by_steps(forward_of(loaded, layout), loaded, trial)
    except torch.AcceleratorError:
        raise
    except Exception as error:  # a model's own code may raise anything at all
        logger.debug("layout raised", exc_info=error, extra={"action": "layout_raised"})
        return f"{type(error).__name__}: {error}"
    return None if is_same(ours, alone, loaded.dtype) else "its answers differ from those of generate"


def _by_steps(forward: CausalForward | CrossForward, loaded: LoadedModel, trial: Trial) -> list[Tensor]:
    """Logits as of `Reference.logits`, all texts side by side."""
    maker = OptionsMaker(loaded.model, loaded.tokenizer)
    decodings = [
        _entered(forward, maker, number, ids, len(trial.following[0]))
        for number, ids in enumerate(trial.prompts)
    ]
    steps = [_begin(forward, decodings)]
    for step in range(len(trial.following[0]) - 1):
        for decoding, ids in zip(decodings, trial.following, strict=True):
            search = cast("Samples", decoding.search)
            search.accept([ids[step]], [False])
            search.live = [0]  # whatever the token means, go on
        ordered, rows = (
            forward.step(decodings, []) if isinstance(forward, CausalForward) else forward.step(decodings)
        )
        steps.append(torch.stack([rows[ordered.index(decoding)] for decoding in decodings]))
        for decoding in decodings:
            decoding.own.num_entries += 1
            decoding.num_positions += 1
    for decoding in decodings:
        decoding.leave()
    return on_cpu(list(torch.stack(steps, dim=1)))


def _entered(
    forward: CausalForward | CrossForward, maker: OptionsMaker, key: int, ids: list[int], num_new: int
) -> Decoding:
    params = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1}
    prompt = Prompt(input_ids=ids, max_new_tokens=num_new, params=params)
    request = Request(key=key, prompt_tokens=len(ids), max_new_tokens=num_new)
    decoding = Decoding(request, Samples(maker.make(prompt), forward.device), Tenant(1))
    forward.enter(decoding, len(ids) + num_new)
    return decoding


def _begin(forward: CausalForward | CrossForward, decodings: Sequence[Decoding]) -> Tensor:
    """Computes the prompts; the logits of the first new token, (texts, vocabulary)."""
    if isinstance(forward, CrossForward):
        logits = forward.begin(decodings)
        lengths = [1] * len(decodings)
    else:
        logits = _by_chunks(forward, decodings)
        lengths = [decoding.request.prompt_tokens for decoding in decodings]
    for decoding, length in zip(decodings, lengths, strict=True):
        decoding.own.num_entries = decoding.num_positions = length
        forward.activate(decoding)
    return logits


def _by_chunks(forward: CausalForward, decodings: Sequence[Decoding]) -> Tensor:
    """Each prompt in three chunks where it is long enough, to see that later ones see the earlier."""
    first: dict[int, Tensor] = {}
    bounds = [_bounds(decoding.request.prompt_tokens) for decoding in decodings]
    for number in range(max(map(len, bounds)) - 1):
        chunks = [
            (decoding, Chunk(decoding.request, own[number], own[number + 1] - own[number]))
            for decoding, own in zip(decodings, bounds, strict=True)
            if number + 1 < len(own)
        ]
        ordered, rows = forward.step([], chunks)
        first |= {id(decoding): row for decoding, row in zip(ordered, rows, strict=True)}
    return torch.stack([first[id(decoding)] for decoding in decodings])


def _bounds(num_tokens: int) -> list[int]:
    return sorted(
        {0, min(3, num_tokens), (num_tokens + 3) // 2 if num_tokens > 3 else num_tokens, num_tokens}
    )
