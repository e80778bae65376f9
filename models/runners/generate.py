"""Decoding by `model.generate`, for models that cannot be run continuously.

Prompts of a batch are padded, so whatever looks at the whole prompt must not see the
padding: such prompts are grouped with others of their own length only. Greedy rows may
share a batch under different limits, because a greedy continuation cut short is the
shorter continuation; a beam search cut short is not, so its limit is part of the group.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from models.engine.prompt import Decoded, Prompt
from models.errors import NotFinite
from models.registry import LoadedModel
from models.runners.plan import Piece

_LOOK_AT_PROMPT = ("repetition_penalty", "no_repeat_ngram_size")
#: Greedy rows whose limits fall into the same step of this many tokens share a batch.
_LIMIT_STEP_TOKENS = 32


class BatchDecoder:
    """Runs `generate` on prompts of one group."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        config: GenerationConfig = loaded.model.generation_config
        eos = config.eos_token_id if config.eos_token_id is not None else loaded.config.eos_token_id
        self._eos_ids = frozenset([eos] if isinstance(eos, int) else eos or [])
        pad = config.pad_token_id if config.pad_token_id is not None else loaded.tokenizer.pad_token_id
        self._pad_id: int = pad if pad is not None else min(self._eos_ids, default=0)
        self._is_encoder_decoder = bool(loaded.config.is_encoder_decoder)
        self._default_beams = int(config.num_beams or 1)
        self._has_forced_end = config.forced_eos_token_id is not None

    def group(self, piece: Piece) -> Hashable:
        """Equal for prompts that may share a batch without changing one another."""
        prompt: Prompt = piece.data
        if prompt.seed is not None:
            return object()  # its random numbers are its own, and `generate` has one stream: alone
        looks_back = not self._is_encoder_decoder and any(k in prompt.params for k in _LOOK_AT_PROMPT)
        # A row with a forced last token, and a beam search, are not prefixes of longer ones.
        is_exact = self._has_forced_end or prompt.params.get("num_beams", self._default_beams) > 1
        limit = prompt.max_new_tokens if is_exact else -(-prompt.max_new_tokens // _LIMIT_STEP_TOKENS)
        return (
            tuple(sorted((k, v) for k, v in prompt.params.items())),
            prompt.stop,
            prompt.forced_bos_token_id,
            limit,
            len(prompt.input_ids) if looks_back else None,
        )

    def decode(self, pieces: Sequence[Piece]) -> list[Decoded]:
        """Decodes prompts of one group together.

        Raises:
            NotFinite: the model returned NaN for one of them.
        """
        prompts: list[Prompt] = [piece.data for piece in pieces]
        inputs = self._padded(prompts)
        first = prompts[0]
        options: dict[str, Any] = dict(first.params)
        options["max_new_tokens"] = max(p.max_new_tokens for p in prompts)
        if first.forced_bos_token_id is not None:
            options["forced_bos_token_id"] = first.forced_bos_token_id
        if first.stop:
            options |= {"stop_strings": list(first.stop), "tokenizer": self._loaded.tokenizer}
        with _own_random_stream(first.seed, self._loaded.device.torch):
            produced = self._loaded.model.generate(  # type: ignore[operator]
                **inputs,
                **options,
                pad_token_id=self._pad_id,
                logits_processor=LogitsProcessorList([_RefuseNaN()]),
            )
        start = 1 if self._is_encoder_decoder else inputs["input_ids"].shape[1]
        return self._rows(prompts, produced[:, start:].tolist())

    def _padded(self, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        longest = max(len(p.input_ids) for p in prompts)
        ids, mask = [], []
        for prompt in prompts:
            pad = longest - len(prompt.input_ids)
            padding, ones = [self._pad_id] * pad, [1] * len(prompt.input_ids)
            if self._is_encoder_decoder:
                ids.append(prompt.input_ids + padding)
                mask.append(ones + [0] * pad)
            else:  # a continuation must follow its prompt directly
                ids.append(padding + prompt.input_ids)
                mask.append([0] * pad + ones)
        device = self._loaded.device.torch
        return {
            "input_ids": torch.tensor(ids, device=device),  # (rows, longest)
            "attention_mask": torch.tensor(mask, device=device),
        }

    def _rows(self, prompts: Sequence[Prompt], produced: list[list[int]]) -> list[Decoded]:
        per_row = len(produced) // len(prompts)
        rows = []
        for i, prompt in enumerate(prompts):
            cut = [self._cut(r, prompt.max_new_tokens) for r in produced[i * per_row : (i + 1) * per_row]]
            rows.append(
                Decoded(sequences=[ids for ids, _ in cut], is_stopped=[stopped for _, stopped in cut])
            )
        return rows

    def _cut(self, ids: list[int], limit: int) -> tuple[list[int], bool]:
        ids = ids[:limit]
        for i, token in enumerate(ids):
            if token in self._eos_ids and (i > 0 or not self._is_encoder_decoder or token != self._pad_id):
                return ids[: i + 1], True
        while ids and ids[-1] == self._pad_id:  # a stop string ends a row without an end token
            ids = ids[:-1]
        return ids, False


class _RefuseNaN(LogitsProcessor):
    """An argmax over NaN is a token like any other: say it instead."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if torch.isnan(scores).any():
            raise NotFinite
        return scores


class _own_random_stream:  # noqa: N801  # used as a function
    """Seeds torch inside and puts its state back after, so that documents do not touch each other."""

    def __init__(self, seed: int | None, device: torch.device) -> None:
        self._seed = seed
        devices = [device] if device.type == "cuda" else []
        self._fork = torch.random.fork_rng(devices=devices, enabled=seed is not None)

    def __enter__(self) -> None:
        self._fork.__enter__()
        if self._seed is not None:
            torch.manual_seed(self._seed)

    def __exit__(self, *details: Any) -> None:
        self._fork.__exit__(*details)
