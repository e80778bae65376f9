"""Decoding by `model.generate`, for models and documents that cannot be run continuously.

Which prompts may share a batch depends on the model (whether padding, or company, changes
what it computes; see `models/decoding/proving/proof.py`) and on what the documents ask for. Greedy
rows may share a batch under different limits, because a greedy continuation cut short is
the shorter continuation; a beam search cut short is not, so its limit is part of the group.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteriaList

from models.batching.plan import Piece
from models.decoding.grammars.processor import GrammarProcessor
from models.decoding.parameters.options import Options, OptionsMaker, refusal_of
from models.decoding.parameters.processors import is_the_same_when_padded
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.proving.proof import ALONE, BATCHES
from models.errors import DocumentError, NotFinite
from models.loading.registry import LoadedModel
from models.loading.stops import StopAtStrings, end_in_stop
from models.proving.reference import Reference

#: Greedy rows whose limits fall into the same step of this many tokens share a batch.
_LIMIT_STEP_TOKENS = 32


class BatchDecoder:
    """Runs `generate` on prompts of one group."""

    def __init__(self, loaded: LoadedModel, reference: Reference, way: str = BATCHES) -> None:
        """Sets up; `way` is the fastest by which the model's rows do not change each other."""
        self._loaded = loaded
        self._reference = reference
        self._way = way
        self._options = OptionsMaker(loaded.model, loaded.tokenizer)

    def group(self, piece: Piece) -> Hashable:
        """Equal for prompts that may share a batch without changing one another."""
        prompt: Prompt = piece.data
        if self._way == ALONE or prompt.seed is not None or prompt.grammar is not None:
            # Its random numbers are its own, and `generate` has one stream; so is its grammar.
            return object()
        try:
            options = self._options.make(prompt)
        except torch.AcceleratorError:
            raise
        except Exception:  # it will be told why when it is its turn
            return object()
        is_padded = self._way == BATCHES and all(
            is_the_same_when_padded(each, is_encoder_decoder=self._reference.is_encoder_decoder)
            for each in options.processors
        )
        return (
            options.group,
            prompt.stop,
            _limit_group(options),
            None if is_padded else len(prompt.input_ids),
        )

    def decode(self, pieces: Sequence[Piece]) -> list[Decoded | DocumentError]:
        """Decodes prompts of one group together.

        Raises:
            NotFinite: the model returned NaN for one of them.
        """
        prompts: list[Prompt] = [piece.data for piece in pieces]
        first = prompts[0]
        try:
            options = self._options.make(first)
        except torch.AcceleratorError:
            raise
        except Exception as error:
            return [refusal_of(error) for _ in prompts]
        with _own_random_stream(first.seed, self._loaded.device.torch):
            produced = self._reference.generate(
                [prompt.input_ids for prompt in prompts],
                **self._parameters(first),
                max_new_tokens=max(p.max_new_tokens for p in prompts),
                pad_token_id=self._reference.pad_id,
                logits_processor=LogitsProcessorList([_RefuseNaN(), *_grammars(options)]),
                stopping_criteria=StoppingCriteriaList([StopAtStrings(options.stop)] if options.stop else []),
            )
        start = self._reference.num_before([prompt.input_ids for prompt in prompts])
        return self._rows(prompts, produced[:, start:].tolist(), options)

    def _parameters(self, prompt: Prompt) -> dict[str, Any]:
        parameters = dict(prompt.params)
        if prompt.forced_bos_token_id is not None:
            parameters["forced_bos_token_id"] = prompt.forced_bos_token_id
        return parameters

    def _rows(
        self, prompts: Sequence[Prompt], produced: list[list[int]], options: Options
    ) -> list[Decoded | DocumentError]:
        per_row = len(produced) // len(prompts)
        rows: list[Decoded | DocumentError] = []
        for i, prompt in enumerate(prompts):
            start_ids = options.start_ids if self._reference.is_encoder_decoder else prompt.input_ids
            cut = [
                _cut(ids[: prompt.max_new_tokens], start_ids, options)
                for ids in produced[i * per_row : (i + 1) * per_row]
            ]
            rows.append(
                Decoded(sequences=[ids for ids, _ in cut], is_stopped=[stopped for _, stopped in cut])
            )
        return rows


def _cut(ids: list[int], start_ids: list[int], options: Options) -> tuple[list[int], bool]:
    """A row without what fills it up, and whether an end token ended it."""
    for number, token in enumerate(ids):
        if token in options.end_ids:
            ids = ids[: number + 1]
            break
    if options.stop is not None:
        begun = [[*start_ids, *ids[: number + 1]] for number in range(len(ids))]
        ends = end_in_stop(options.stop, begun)
        ids = ids[: ends.index(True) + 1] if True in ends else ids
    return ids, bool(ids) and ids[-1] in options.end_ids


def _limit_group(options: Options) -> int:
    """Equal for limits that may share a batch, which runs to the largest."""
    limit = options.prompt.max_new_tokens
    # A beam search is no prefix of a longer one, nor is a row whose last token is forced.
    if options.num_beams > 1 or options.config.forced_eos_token_id is not None:
        return limit
    return -(-limit // _LIMIT_STEP_TOKENS) * _LIMIT_STEP_TOKENS


def _grammars(options: Options) -> list[LogitsProcessor]:
    """Transformers puts them where they are in `options`: before what chooses among tokens."""
    return [each for each in options.processors if isinstance(each, GrammarProcessor)]


class _RefuseNaN(LogitsProcessor):
    """An argmax over NaN is a token like any other: say it instead."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if torch.isnan(scores).any():
            raise NotFinite
        return scores


class _own_random_stream:  # noqa: N801  # used as a function
    """Seeds torch inside and puts its state back after, so that documents do not touch each other.

    Also where nothing is sampled: Reformer hashes at random.
    """

    def __init__(self, seed: int | None, device: torch.device) -> None:
        self._seed = seed or 0
        self._fork = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *details: Any) -> None:
        self._fork.__exit__(*details)
