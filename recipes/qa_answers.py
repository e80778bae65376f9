"""The best span of each question, in batches on any device, and its probability at a temperature.

As the server says it (`models/tasks/qa/spans.py`): a span's probability is the product of
two softmaxes over the tokens of the context and "no answer"; a token that several windows
saw counts once, with its highest logit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from recipes.questions import Question

MAX_TOKENS = 384
STRIDE_TOKENS = 128
_MAX_ANSWER_TOKENS = 30
_WINDOWS = 48


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A span, its logit, and those of every token that competes."""

    text: str
    score: float
    null: float  #: logit of "no answer"
    starts: np.ndarray[Any, np.dtype[np.float32]]  #: of the context's tokens and of "no answer"
    ends: np.ndarray[Any, np.dtype[np.float32]]

    @property
    def silence(self) -> float:
        """By how much "no answer" beats the span (logits)."""
        return self.null - self.score

    def probability(self, temperature: float = 1.0) -> float:
        """Of the span, where logits are divided by the temperature."""
        return math.exp(
            self.score / temperature - _log_sum(self.starts / temperature) - _log_sum(self.ends / temperature)
        )


def windows_of(tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]) -> Any:
    """Each question with every window of its context, encoded."""
    return tokenizer(
        [q.text for q in questions], [q.context for q in questions], truncation="only_second",
        max_length=MAX_TOKENS, stride=STRIDE_TOKENS, return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip


@torch.inference_mode()
def answer(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]
) -> list[Answer]:
    """The best span of each question."""
    model.eval()
    encoded = windows_of(tokenizer, questions)
    owners: list[int] = list(encoded["overflow_to_sample_mapping"])
    order = sorted(range(len(owners)), key=lambda i: len(encoded["input_ids"][i]))
    seen: dict[int, list[_Window]] = defaultdict(list)
    for start in range(0, len(order), _WINDOWS):
        part = order[start : start + _WINDOWS]
        for number, window in zip(part, _computed(model, tokenizer, encoded, part), strict=True):
            seen[owners[number]].append(window)
    return [_answer_of(seen[number], question.context) for number, question in enumerate(questions)]


@dataclass(frozen=True, kw_only=True)
class _Window:
    offsets: list[tuple[int, int]]  #: of its context's tokens
    start: np.ndarray[Any, np.dtype[np.float32]]
    end: np.ndarray[Any, np.dtype[np.float32]]
    null_start: float
    null_end: float
    first: int  #: of the best span
    last: int
    score: float


def _computed(model: Any, tokenizer: Any, encoded: Any, part: Sequence[int]) -> list[_Window]:
    device = next(model.parameters()).device
    rows = [{k: encoded[k][i] for k in ("input_ids", "token_type_ids", "attention_mask")} for i in part]
    inputs = tokenizer.pad(rows, return_tensors="pt").to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        scores = model(**inputs)
    starts, ends = scores.start_logits.float(), scores.end_logits.float()
    inside = torch.tensor(
        [[s == 1 for s in encoded.sequence_ids(i)] + [False] * (starts.shape[1] - len(encoded["input_ids"][i])) for i in part],
        device=device,
    )  # fmt: skip
    best = _best_pairs(starts.masked_fill(~inside, -1e9), ends.masked_fill(~inside, -1e9))
    starts, ends = starts.cpu(), ends.cpu()
    found = []
    for row, i in enumerate(part):
        places = [place for place, kind in enumerate(encoded.sequence_ids(i)) if kind == 1]
        first, last, score = (value[row] for value in best)
        if not places:
            places, score = [0], -1e9
        chosen = slice(places[0], places[-1] + 1)
        found.append(
            _Window(
                offsets=encoded["offset_mapping"][i][chosen],
                start=starts[row, chosen].numpy(), end=ends[row, chosen].numpy(),
                null_start=float(starts[row, 0]), null_end=float(ends[row, 0]),
                first=int(first) - places[0], last=int(last) - places[0], score=float(score),
            )
        )  # fmt: skip
    return found


def _best_pairs(starts: Tensor, ends: Tensor) -> tuple[list[int], list[int], list[float]]:
    pairs = starts[:, :, None] + ends[:, None, :]  # (windows, tokens, tokens): every first with every last
    allowed = torch.ones_like(pairs[0], dtype=torch.bool).triu().tril(_MAX_ANSWER_TOKENS - 1)
    score, place = pairs.masked_fill(~allowed, -4e9).flatten(1).max(-1)
    width = starts.shape[1]
    return (place // width).tolist(), (place % width).tolist(), score.tolist()


def _answer_of(windows: Sequence[_Window], context: str) -> Answer:
    best = max(windows, key=lambda window: window.score)
    silent = min(windows, key=lambda window: window.null_start + window.null_end)
    starts, ends = _once(windows, "start"), _once(windows, "end")
    text = ""
    if best.score > -1e8:
        text = context[best.offsets[best.first][0] : best.offsets[best.last][1]]
    return Answer(
        text=text,
        score=best.score,
        null=silent.null_start + silent.null_end,
        starts=np.array([*starts, silent.null_start], np.float32),
        ends=np.array([*ends, silent.null_end], np.float32),
    )


def _once(windows: Sequence[_Window], side: str) -> list[float]:
    """The highest logit of each token, by the place where it begins."""
    highest: dict[int, float] = {}
    for window in windows:
        for (begin, _), logit in zip(window.offsets, getattr(window, side).tolist(), strict=True):
            highest[begin] = max(logit, highest.get(begin, -math.inf))
    return list(highest.values())


def _log_sum(logits: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    top = float(logits.max())
    return top + math.log(float(np.exp(logits - top).sum()))
