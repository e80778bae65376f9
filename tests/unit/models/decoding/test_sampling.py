"""Choosing tokens: against transformers' own warpers, and the kernels of GPUs against the reference."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.generation import logits_process as hf

from models.decoding import layout
from models.decoding.sampling.interface import Sampler
from models.decoding.sampling.noise import noise
from models.decoding.sampling.reference import ReferenceSampler
from models.decoding.state import BatchState
from tests.support.seated import DEVICE, all_seated, make_state, request_of, seat

_VOCABULARY = 200
_PROMPT = 5
_WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"repetition_penalty": 1.3},
    {"banned_ids": (3, 4), "end_ids": (7,), "min_new_tokens": 2},
    {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    {"temperature": 1.0, "top_k": 5, "banned_ids": (3, 4)},
    {"temperature": 0.7, "top_p": 0.9},
    {"temperature": 1.5, "top_k": 200, "top_p": 0.5, "repetition_penalty": 1.3},
    {"temperature": 0.3},
    {"temperature": 1.0, "top_k": 1, "repetition_penalty": 0.7},
    {"temperature": 1.0, "top_p": 0.05},
    {"temperature": 5.0, "top_k": 1000, "top_p": 0.6},
)


def _seated(**more: Any) -> BatchState:
    state = make_state(len(_WAYS), 2, _VOCABULARY)
    for number, way in enumerate(_WAYS):
        seat(state, number, request_of(_PROMPT, seed=number, **{**way, **more}))
    state.seen[:, 10:60] = 1
    return state


def _scores(kind: int) -> Tensor:
    scores = (
        torch.randn(len(_WAYS), _VOCABULARY, generator=torch.Generator().manual_seed(kind))
        * (3.0, 0.2, 1.0)[kind]
    )
    if kind == 2:
        scores[4:6] = 1.0  # ties, in more groups than are listed
    return scores


def _chosen(sampler: Sampler, state: BatchState, scores: Tensor) -> list[int]:
    padded = torch.nn.functional.pad(scores, (0, layout.padded(_VOCABULARY) - _VOCABULARY)).to(DEVICE)
    sampler.choose(state, all_seated(state, len(scores)), padded.clone())
    return state.chosen[: len(scores)].tolist()


def _warped(row: int, scores: Tensor) -> Tensor:
    """What transformers leaves of a row's scores, (1, vocabulary)."""
    way = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, **_WAYS[row]}
    seen = torch.arange(10, 60)[None]
    left = scores[row : row + 1].clone()
    banned = [*way.get("banned_ids", ()), *(way.get("end_ids", ()) if way.get("min_new_tokens") else ())]
    left[:, banned] = -torch.inf
    if way["repetition_penalty"] != 1:
        left = hf.RepetitionPenaltyLogitsProcessor(way["repetition_penalty"])(seen, left)
    if way["temperature"]:
        left = hf.TemperatureLogitsWarper(way["temperature"])(seen, left)
    if way["top_k"]:
        left = hf.TopKLogitsWarper(way["top_k"])(seen, left)
    return hf.TopPLogitsWarper(way["top_p"])(seen, left) if way["top_p"] < 1 else left


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_every_draw_lies_in_the_set_that_transformers_leaves(kind: int) -> None:
    scores = _scores(kind)
    for _ in range(3):
        state = _seated()
        for row, token in enumerate(_chosen(ReferenceSampler(), state, scores)):
            left = _warped(row, scores)[0]
            assert left[token] > -torch.inf
            if "temperature" not in _WAYS[row]:
                assert token == int(left.argmax())


def _triton(state: BatchState) -> Sampler:
    pytest.importorskip("triton")
    from models.decoding.sampling.cuda import TritonSampler

    return TritonSampler(state, group=8, groups=32, listed=16, block=128)


@pytest.mark.parametrize("kind", [0, 2])
def test_the_kernels_choose_as_the_reference_does(kind: int) -> None:
    """Token for token, greedy and sampled, and they leave the rows in the same state."""
    scores = _scores(kind)
    one, other = _seated(), _seated()
    assert _chosen(ReferenceSampler(), one, scores) == _chosen(_triton(other), other, scores)
    assert torch.equal(one.rows, other.rows)


@pytest.mark.parametrize("is_triton", [False, True])
def test_ends_are_told_by_the_sign_and_nobody_and_no_number_by_words_of_their_own(is_triton: bool) -> None:
    state = make_state(7, 2, _VOCABULARY)
    for number, (new, ends, forced) in enumerate([(9, (), -1), (9, (42,), -1), (1, (), -1), (1, (), 17)]):
        request = request_of(_PROMPT, new_tokens=new, end_ids=ends, forced_last_id=forced)
        seat(state, number, request)
    for number in (4, 5):
        seat(state, number, request_of(_PROMPT))
    scores = torch.zeros(7, _VOCABULARY)
    scores[:, 42] = 1.0
    scores[4, 99], scores[5, 150] = torch.nan, torch.inf
    sampler = _triton(state) if is_triton else ReferenceSampler()
    all_seated(state, 7)
    state.seats[6] = state.num_seats
    padded = torch.nn.functional.pad(scores, (0, layout.padded(_VOCABULARY) - _VOCABULARY)).to(DEVICE)
    sampler.choose(state, layout.Shape(7, 0), padded)
    bad = layout.NOT_FINITE
    assert state.chosen.tolist() == [42, -43, -43, -18, bad, bad, layout.NOTHING]
    assert state.rows[:7, layout.IS_DONE].tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert state.rows[:4, layout.POSITION].tolist() == [_PROMPT] * 4


def test_the_noise_is_philoxs() -> None:
    """The published answer for counters and keys of zeros, as far as a float32 shows it."""
    first = noise(torch.zeros(1, 2, dtype=torch.int32), torch.zeros(1), 1)[0, 0]
    assert abs(_bits_of(first) - (0x6627E8D5 >> 8)) <= 1
    drawn = noise(torch.full((3, 2), -1, dtype=torch.int32), torch.arange(3), 4000)
    assert drawn.unique().numel() > 11_900  # another position, another token: another number
    assert abs(float(drawn.mean()) - 0.5772) < 0.05  # of a Gumbel variable


def _bits_of(drawn: Tensor) -> int:
    """The upper 24 of the 32 bits that a float32 was made of."""
    uniform = 1 - math.exp(-math.exp(-float(drawn)))
    return round(uniform * 2**32 - 0.5) >> 8
