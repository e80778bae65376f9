"""Choosing tokens: against transformers' own warpers, and the kernels of GPUs against the reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.generation import logits_process as hf

from models.decoding.sampling import stream
from models.decoding.sampling.cpu import CpuSampler
from models.decoding.sampling.interface import Sampler
from models.decoding.sampling.noise import noise
from models.decoding.sampling.reference import ReferenceSampler
from models.decoding.scheduling import layout
from models.decoding.tensors.state import BatchState
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


def _warped(row: int, scores: Tensor, *, num_new: int = 0) -> Tensor:
    """What transformers leaves of a row's scores after so many new tokens, (1, vocabulary)."""
    return _warped_by(_WAYS[row], scores[row : row + 1].clone(), num_new=num_new)


def _warped_by(way: dict[str, Any], left: Tensor, *, num_new: int) -> Tensor:
    way = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, **way}
    seen = torch.arange(10, 60)[None]
    ends = way.get("end_ids", ()) if num_new < way.get("min_new_tokens", 0) else ()
    banned = [*way.get("banned_ids", ()), *ends]
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


@pytest.mark.parametrize("is_torchs", [False, True])
def test_a_stream_goes_on_as_torchs_generator(is_torchs: bool) -> None:
    """MT19937, from numpy's own and from torch's; words that nobody wants are gone over."""
    for seed in (0, 1, 2**31 - 1, 2**32 + 5):
        own = np.zeros(stream.STREAM_WORDS, np.uint32)
        stream.seeded(own, seed & 0xFFFFFFFF)
        if is_torchs:
            generator = torch.Generator().manual_seed(seed)
            wanted = torch.empty(3000, dtype=torch.float64).uniform_(generator=generator).tolist()
            assert [stream.uniform(own) for _ in range(1000)] == wanted[:1000]
            stream.skip(own, 2 * 1500)
            assert [stream.uniform(own) for _ in range(500)] == wanted[2500:]
        else:
            twister = np.random.MT19937()
            twister._legacy_seeding(seed & 0xFFFFFFFF)
            words = twister.random_raw(2000).astype(np.uint64)
            both = (words[::2] << np.uint64(32) | words[1::2]) & np.uint64(2**53 - 1)
            assert [stream.uniform(own) for _ in range(1000)] == (both * 2.0**-53).tolist()
    assert stream.is_torchs()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [_VOCABULARY, 50_257])
def test_a_cpu_draws_what_generate_draws_with_the_same_seed(vocabulary: int, dtype: torch.dtype) -> None:
    """Token for token over several steps, by transformers' processors and torch's multinomial."""
    state = make_state(len(_WAYS), 2, vocabulary)
    for number, way in enumerate(_WAYS):
        seat(state, number, request_of(_PROMPT, seed=number + 2**32, **way))
    state.seen[:, 10:60] = 1
    sampler, shape = CpuSampler(state), all_seated(state, len(_WAYS))
    generators = [torch.Generator().manual_seed(number + 2**32) for number in range(len(_WAYS))]
    noise = torch.Generator().manual_seed(0)
    for step in range(12):
        scores = (
            torch.randn(len(_WAYS), layout.padded(vocabulary), generator=noise) * (3.0, 0.5, 8.0)[step % 3]
        )
        scores = scores.to(dtype)
        scores[4:6, : vocabulary // 2] = 1.0  # ties at the border of top-k
        sampler.choose(state, shape, scores)
        for row, said in enumerate(state.chosen[: len(_WAYS)].tolist()):
            left = _warped(row, scores[:, :vocabulary].float(), num_new=step)
            wanted = int(left.argmax())
            if "temperature" in _WAYS[row]:
                wanted = int(torch.multinomial(left.softmax(-1), 1, generator=generators[row]))
            if said not in (
                wanted,
                -1 - wanted,
            ):  # which of equals top-p keeps, torch's sort leaves to chance
                assert _has_ties_at_the_border(row, left, scores[:, :vocabulary].float(), num_new=step), (
                    row,
                    step,
                )
        state.rows[:, layout.IS_DONE] = 0


def _has_ties_at_the_border(row: int, left: Tensor, scores: Tensor, *, num_new: int) -> bool:
    whole = {**_WAYS[row], "top_p": 1.0}
    before = _warped_by(whole, scores[row : row + 1].clone(), num_new=num_new)
    least = left[left > -torch.inf].min()
    return int((before == least).sum()) > int((left == least).sum())


@pytest.mark.parametrize("top_p", [0.1, 0.9, 0.999, 0.99999])
def test_a_mass_is_found_in_flat_and_in_steep_scores(top_p: float) -> None:
    """As transformers finds it, however many tokens hold it."""
    state = make_state(3, 2, 50_257)
    for number in range(3):
        seat(state, number, request_of(_PROMPT, seed=number, temperature=1.0, top_p=top_p))
    sampler, shape = CpuSampler(state), all_seated(state, 3)
    generators = [torch.Generator().manual_seed(number) for number in range(3)]
    for step in range(3):
        scores = torch.randn(3, 50_304, generator=torch.Generator().manual_seed(step))
        scores *= torch.tensor([0.01, 1.0, 6.0])[:, None]
        sampler.choose(state, shape, scores)
        left = hf.TopPLogitsWarper(top_p)(torch.zeros(3, 1), scores[:, :50_257])
        wanted = [
            int(torch.multinomial(row.softmax(-1)[None], 1, generator=generator))
            for row, generator in zip(left, generators, strict=True)
        ]
        assert state.chosen[:3].tolist() == wanted


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
