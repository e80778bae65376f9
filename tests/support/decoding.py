"""Random documents for the decoding engine, and what `generate` makes of each one alone."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch

from models.decoding.first.causal import CausalCore, CausalForward
from models.decoding.first.core import DecodingCore
from models.decoding.first.cross import CrossCore
from models.decoding.first.scheduler import Limits
from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.positions import adapt_positions
from models.decoding.proving.fitting import forward_of
from models.decoding.proving.proof import prove
from models.errors import DocumentError
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from tests.support.tiny_models import WORDS

GREEDY: tuple[dict[str, Any], ...] = (
    {},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"min_new_tokens": 5},
)
BEAMS: tuple[dict[str, Any], ...] = (
    {"num_beams": 2, "no_repeat_ngram_size": 2},
    {"num_beams": 2, "min_new_tokens": 4, "length_penalty": -0.5},
    {"num_beams": 3, "length_penalty": 0.5, "early_stopping": True},
    {"num_beams": 3, "repetition_penalty": 1.2},
    {"num_beams": 4},
    {"num_beams": 4, "num_return_sequences": 3},
    {"num_beams": 5, "early_stopping": "never", "length_penalty": 2.0},
)
SAMPLED: tuple[dict[str, Any], ...] = (
    {"do_sample": True},
    {"do_sample": True, "temperature": 0.7, "top_k": 5, "num_return_sequences": 3},
    {"do_sample": True, "top_p": 0.8, "repetition_penalty": 1.2},
    {"do_sample": True, "num_beams": 3, "top_p": 0.8},
)
#: Small enough that documents wait, prompts are cut into chunks and slots are left and taken again.
TIGHT = Limits(max_rows=24, max_entries=1500, max_chunk_tokens=24)


def make_core(loaded: LoadedModel, limits: Limits = TIGHT) -> DecodingCore:
    """The engine's core in front of a model, with limits of the test's own."""
    adapt_positions(loaded.model)
    proof = prove(loaded, Reference(loaded))
    assert proof.layout is not None, proof.why
    forward = forward_of(loaded, Layout(proof.layout))
    if isinstance(forward, CausalForward):
        return CausalCore(loaded, forward, limits)
    return CrossCore(loaded, forward, limits)


def random_prompts(loaded: LoadedModel, count: int, *, seed: int, longest: int) -> list[Prompt]:
    """Texts of random length with parameters of every kind, a third with stop strings."""
    draw = random.Random(seed)
    maker = PromptMaker(loaded)
    prompts = []
    for number in range(count):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, longest)))
        params = dict(draw.choice(GREEDY + BEAMS + SAMPLED))
        if params.get("do_sample"):
            params["seed"] = number
        if draw.random() < 0.3:
            params["stop"] = [draw.choice("aeiou") + draw.choice("nrst"), "zz"]
        ids = loaded.tokenizer(text)["input_ids"]
        prompts.append(maker.make(ids, params, max_new_tokens=draw.randint(5, 14)))
    return prompts


def decode_with_random_arrivals(
    core: DecodingCore, prompts: list[Prompt], *, seed: int
) -> Mapping[Hashable, Decoded | DocumentError]:
    """Hands prompts in at random steps in random order; results by the prompts' places."""
    draw = random.Random(seed)
    pending = list(enumerate(prompts))
    draw.shuffle(pending)
    results: dict[Hashable, Decoded | DocumentError] = {}
    while pending or core.has_work:
        for _ in range(draw.randint(0, 5)):
            if pending:
                key, prompt = pending.pop()
                core.add(key, prompt, priority=draw.choice([3, 6]))
        for key, result in core.step():
            assert key not in results
            results[key] = result
    return results


def generate_alone(model: Any, tokenizer: Any, prompt: Prompt) -> list[list[int]]:
    """New tokens of each returned sequence, padding and all, from transformers itself."""
    options: dict[str, Any] = dict(prompt.params)
    if prompt.stop:
        options |= {"stop_strings": list(prompt.stop), "tokenizer": tokenizer}
    if prompt.seed is not None:
        torch.manual_seed(prompt.seed)
    if prompt.forced_bos_token_id is not None:
        options["forced_bos_token_id"] = prompt.forced_bos_token_id
    ids = torch.tensor([prompt.input_ids], device=model.device)
    produced = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=prompt.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id or 0,
        **options,
    )
    start = 1 if model.config.is_encoder_decoder else len(prompt.input_ids)
    return [list(row) for row in produced[:, start:].tolist()]


def is_same(ours: Decoded, padded: list[list[int]], padding: set[int]) -> bool:
    """Whether our sequences are theirs without the padding that evens them out."""
    return len(ours.sequences) == len(padded) and all(
        theirs[: len(mine)] == mine and set(theirs[len(mine) :]) <= padding
        for mine, theirs in zip(ours.sequences, padded, strict=True)
    )


def expect_each_alone(
    results: Mapping[Any, Any],
    prompts: Sequence[Prompt],
    plain: Any,
    tokenizer: Any,
    padding: set[int] | None = None,
) -> None:
    """Each prompt's tokens are those that `generate` gives it alone.

    Args:
        results: what came out, by the prompts' places.
        prompts: all that were decoded.
        plain: the model as transformers loads it.
        tokenizer: its tokenizer.
        padding: tokens that `generate` may write behind an end; default: the tokenizer's own.
    """
    padding = padding or {tokenizer.pad_token_id or 0, tokenizer.eos_token_id}
    assert len(results) == len(prompts)
    for place, prompt in enumerate(prompts):
        result = results[place]
        assert isinstance(result, Decoded), (prompt, result)
        alone = generate_alone(plain, tokenizer, prompt)
        assert is_same(result, alone, padding), (prompt, alone, result)
