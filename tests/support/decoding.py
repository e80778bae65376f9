"""Random documents for the decoding engine, and what `generate` makes of each one alone."""

from __future__ import annotations

import random
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import torch

from models.batching.core import Core
from models.batching.plan import Piece
from models.decoding.core import PagedCore
from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.decoding.scheduling.scheduler import Limits
from models.errors import DocumentError
from models.loading.registry import LoadedModel
from models.tasks.decoding_core import decoding_core
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
#: Small enough that documents wait, prompts are cut into chunks, and seats and pages are taken again.
TIGHT = Limits(max_rows=24, num_pages=121, max_entries=128, chunk_sizes=(24,), is_exact=True)


class PromptCore:
    """A model's core, whichever way it decodes, for prompts that are documents of one piece each."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._inside: set[Hashable] = set()

    @property
    def has_work(self) -> bool:
        """Whether anything is inside."""
        return bool(self._inside)

    def add(self, key: Hashable, prompt: Prompt, *, priority: float) -> None:
        """Queues a prompt."""
        self._inside.add(key)
        num_tokens = len(prompt.input_ids) + prompt.max_new_tokens
        piece = Piece(key=key, index=0, num_tokens=num_tokens, num_rows=prompt.num_rows, data=prompt)
        self.core.add([piece], priority)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Drops prompts."""
        self._inside -= set(keys)
        self.core.discard(keys)

    def step(self) -> list[tuple[Hashable, Decoded | DocumentError]]:
        """What has ended with the next step, by key."""
        results = [(piece.key, result) for piece, result in self.core.step()]
        self.discard([key for key, _ in results])
        return results


def make_core(loaded: LoadedModel, limits: Limits | None = TIGHT) -> PromptCore:
    """What decodes a model, with limits of the test's own or its device's."""
    return PromptCore(decoding_core(loaded, limits))


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
    core: PromptCore | PagedCore, prompts: list[Prompt], *, seed: int
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
