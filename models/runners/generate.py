"""From a client's parameters to `model.generate`, the same for generation and translation.

Prompts of a batch are padded, so whatever looks at the whole prompt must not see the
padding: such pieces are grouped with others of their own length only. Greedy rows may
share a batch under different limits, because a greedy continuation cut short is the
shorter continuation; a beam search cut short is not, so its limit is part of the group.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from models.errors import InvalidParameter, NotFinite
from models.registry import LoadedModel

_PASSED_ON = (
    "min_new_tokens", "do_sample", "temperature", "top_k", "top_p", "num_beams", "length_penalty",
    "early_stopping", "repetition_penalty", "no_repeat_ngram_size", "num_return_sequences",
)  # fmt: skip
_LOOK_AT_PROMPT = ("repetition_penalty", "no_repeat_ngram_size")
#: Greedy rows whose limits fall into the same step of this many tokens share a batch.
_LIMIT_STEP_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One row to decode."""

    input_ids: list[int]
    max_new_tokens: int
    params: Mapping[str, Any]
    stop: tuple[str, ...] = ()
    seed: int | None = None  #: set exactly when the row samples
    forced_bos_token_id: int | None = None

    @property
    def provenance(self) -> dict[str, int]:
        """What a result must add to the model's own provenance to be computed again."""
        return {} if self.seed is None else {"seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The new tokens of one row, one list per returned sequence, without padding."""

    sequences: list[list[int]] = field(default_factory=list)
    is_stopped: list[bool] = field(default_factory=list)  #: by an end token, not by the limit


class Decoder:
    """Runs `generate` on rows of one group."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        config: GenerationConfig = loaded.model.generation_config
        eos = config.eos_token_id if config.eos_token_id is not None else loaded.config.eos_token_id
        self.eos_ids = frozenset([eos] if isinstance(eos, int) else eos or [])
        pad = config.pad_token_id if config.pad_token_id is not None else loaded.tokenizer.pad_token_id
        self.pad_id: int = pad if pad is not None else min(self.eos_ids, default=0)
        self._is_encoder_decoder = bool(loaded.config.is_encoder_decoder)
        self.default_beams = int(config.num_beams or 1)
        self._has_forced_end = config.forced_eos_token_id is not None

    def prompt(
        self, input_ids: list[int], params: Mapping[str, Any], *, max_new_tokens: int, **more: Any
    ) -> Prompt:
        """A row, its sampling seed drawn when the client gave none."""
        is_sampled = bool(params.get("do_sample", self._loaded.model.generation_config.do_sample))
        seed = params.get("seed", secrets.randbits(31)) if is_sampled else None
        returned = params.get("num_return_sequences", 1)
        beams = params.get("num_beams", self.default_beams)
        if returned > 1 and not is_sampled and returned > beams:
            raise InvalidParameter(
                f"num_return_sequences={returned} needs do_sample, or num_beams of at least {returned}"
            )
        return Prompt(
            input_ids=input_ids,
            max_new_tokens=max_new_tokens,
            params={k: params[k] for k in _PASSED_ON if k in params},
            stop=tuple(params.get("stop", ())),
            seed=seed,
            **more,
        )

    def num_rows(self, prompt: Prompt) -> int:
        """Rows it takes in a batch."""
        beams = int(prompt.params.get("num_beams", self.default_beams))
        return max(beams, int(prompt.params.get("num_return_sequences", 1)))

    def group(self, prompt: Prompt) -> Hashable:
        """Rows that may share a batch without changing one another."""
        if prompt.seed is not None:
            # Its random numbers are its own: alone until sequences have generators of their own.
            return object()
        looks_back = not self._is_encoder_decoder and any(k in prompt.params for k in _LOOK_AT_PROMPT)
        # A row with a forced last token, and a beam search, are not prefixes of longer ones.
        is_exact = self._has_forced_end or prompt.params.get("num_beams", self.default_beams) > 1
        limit = prompt.max_new_tokens if is_exact else -(-prompt.max_new_tokens // _LIMIT_STEP_TOKENS)
        return (
            tuple(sorted((k, v) for k, v in prompt.params.items())),
            prompt.stop,
            prompt.forced_bos_token_id,
            limit,
            len(prompt.input_ids) if looks_back else None,
        )

    def decode(self, prompts: Sequence[Prompt]) -> list[Decoded]:
        """Decodes rows of one group together.

        Raises:
            NotFinite: the model returned NaN for a row.
        """
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
                pad_token_id=self.pad_id,
                logits_processor=LogitsProcessorList([_RefuseNaN()]),
            )
        start = 1 if self._is_encoder_decoder else inputs["input_ids"].shape[1]
        return self._rows(prompts, produced[:, start:].tolist())

    def _padded(self, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        longest = max(len(p.input_ids) for p in prompts)
        ids, mask = [], []
        for prompt in prompts:
            pad = longest - len(prompt.input_ids)
            padding, ones = [self.pad_id] * pad, [1] * len(prompt.input_ids)
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
            if token in self.eos_ids and (i > 0 or not self._is_encoder_decoder or token != self.pad_id):
                return ids[: i + 1], True
        while ids and ids[-1] == self.pad_id:  # a stop string ends a row without an end token
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
