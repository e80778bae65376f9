"""The kernels that choose beams on GPUs and on CPUs, against the same in torch, step for step."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from models.decoding.sampling.beams import ReferenceBeams
from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.group import BeamParameters, Group
from models.decoding.scheduling.group_layout import SAID_DONE, SAID_FINISHED, SAID_TOKEN, GroupShape
from models.decoding.tensors.group_state import GroupState
from tests.support.seated import DEVICE
from tests.support.seated_groups import group_of, make_group_state, seat_groups

_VOCABULARY = 150
ALL_STEPS = 12  #: until every group has ended


def _chooser(kind: str, state: GroupState, *, group: int = 16, groups: int = 8) -> Any:
    if kind == "torch":
        return ReferenceBeams()
    if kind == "cpu":
        if DEVICE.type != "cpu":
            pytest.skip("computes in a CPU's memory")
        from models.decoding.sampling.beams_cpu import CpuBeams

        return CpuBeams()
    pytest.importorskip("triton")
    from models.decoding.sampling.beams_cuda import TritonBeams

    return TritonBeams(state, group=group, groups=groups)


def _groups() -> list[Group]:
    """Of every kind: widths, ends, penalties, ways to stop, forced and banned tokens."""

    def beams(count: int, ends: int = 1, **more: object) -> BeamParameters:
        return BeamParameters(
            num_beams=count,
            num_candidates=max(2, 1 + ends) * count,
            **{"early_stopping": 0, **more},  # type: ignore[arg-type]
        )

    return [
        group_of(beams(4), end_ids=(2,), new=9),
        group_of(beams(1, early_stopping=1), end_ids=(2,), new=7),
        group_of(beams(3, ends=3, length_penalty=0.5, early_stopping=1), end_ids=(2, 5, 9), new=12),
        group_of(beams(2, length_penalty=-0.7), end_ids=(4,), min_new_tokens=4, banned_ids=(7, 11), new=10),
        group_of(beams(5, length_penalty=2.0, early_stopping=2), end_ids=(2,), forced_last_id=2, new=11),
        group_of(beams(3, forced_first_id=77), prompt=20, end_ids=(2, 2), new=6),
        group_of(beams(2, length_penalty=0.0), new=5),
    ]


def _scores(number: int, num_rows: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Lively: rows differ, an end is often among the best, and no two of a row are equal."""
    draw = torch.Generator().manual_seed(number)
    ranks = torch.rand(num_rows, _VOCABULARY, generator=draw)
    ranks[:, [2, 4, 5, 9]] += 0.8 * torch.rand(num_rows, 4, generator=draw)
    scores = ranks.argsort(1).argsort(1) / 16 - 5  # exact in bfloat16
    scores[torch.rand(scores.shape, generator=draw) < 0.3] -= 9  # no two rows have the same sum
    return scores.to(dtype).to(DEVICE)


def _seen(state: GroupState, shape: GroupShape, count: int) -> list[Tensor]:
    """What a step may leave behind: what was said, the rows, and the ancestry that the next step reads."""
    said = state.said[:count].clone()
    said[:, SAID_FINISHED] = 0  # scores are compared by their closeness
    rows = state.rows[state.seats[:count].long()].clone()
    own = state.first_column
    rows[:, [own + group_layout.SCORE, own + group_layout.FINISHED_SCORE]] = 0
    ancestry = []
    for seat in state.seats[:count].tolist():
        position = int(state.rows[seat, layout.POSITION])
        ancestry.append(state.ancestry[position % 2, seat, :position])
    return [said, rows, *ancestry]


def _floats(state: GroupState, count: int) -> Tensor:
    rows = state.rows[state.seats[:count].long()]
    scores = rows[:, state.first_column + group_layout.SCORE].view(torch.float32)
    kept = rows[:, state.first_column + group_layout.FINISHED_SCORE].contiguous().view(torch.float32)
    length = rows[:, state.first_column + group_layout.FINISHED_LENGTH]
    return torch.stack([scores, torch.where(length > 0, kept, 0.0)])


@pytest.mark.parametrize(
    ("kind", "dtype", "steps"),
    [
        ("triton", torch.float32, 6),
        pytest.param("triton", torch.float32, ALL_STEPS, marks=pytest.mark.slow),  # long without a GPU
        ("triton", torch.bfloat16, 2),
        ("cpu", torch.float32, ALL_STEPS),
        ("cpu", torch.bfloat16, ALL_STEPS),
    ],
)
def test_groups_of_every_kind_are_chosen_for_as_the_reference_does(
    kind: str, dtype: torch.dtype, steps: int
) -> None:
    plain = make_group_state(24, _VOCABULARY)
    groups = _groups()
    shape = seat_groups(plain, groups)
    count = sum(group.num_rows for group in groups)
    plain.seats[count : shape.num_rows] = plain.num_seats
    fast = copy.deepcopy(plain)
    chooser = _chooser(kind, fast)
    ended = 0
    for step in range(steps):
        scores = _scores(step, shape.num_rows, dtype=dtype)
        ReferenceBeams().choose(plain, shape, scores.clone())
        chooser.choose(fast, shape, scores.clone())
        is_there = plain.said[:count, SAID_TOKEN] != layout.NOTHING
        for wanted, got in zip(_seen(plain, shape, count), _seen(fast, shape, count), strict=True):
            if len(wanted) == count:
                wanted, got = wanted[is_there], got[is_there]
            assert torch.equal(wanted, got), (step, wanted, got)
        assert torch.allclose(_floats(plain, count), _floats(fast, count), rtol=1e-5, atol=1e-5)
        assert (fast.said[count : shape.num_rows, SAID_TOKEN] == layout.NOTHING).all()
        ended += int(plain.said[:count, SAID_DONE].sum())
        for state in (plain, fast):  # as `begin` does
            done = state.rows[state.seats.long(), layout.IS_DONE] != 0
            state.seats[done] = state.num_seats
    assert ended == len(groups) or steps < ALL_STEPS


@pytest.mark.parametrize("kind", ["torch", "triton", "cpu"])
def test_a_rows_log_probabilities_are_those_of_float64(kind: str) -> None:
    state = make_group_state(8, _VOCABULARY)
    beams = BeamParameters(num_beams=4, num_candidates=8, early_stopping=0)
    shape = seat_groups(state, [group_of(beams, banned_ids=(3, 140))])
    scores = _scores(5, shape.num_rows)
    wanted = torch.log_softmax(scores[0].cpu().double(), -1)
    wanted[[3, 140]] = -torch.inf
    best, tokens = wanted.topk(4)
    _chooser(kind, state, groups=2).choose(state, shape, scores)
    rows = state.rows[state.seats[:4].long()]
    assert rows[:, layout.TOKEN].tolist() == tokens.tolist()
    got = rows[:, state.first_column + group_layout.SCORE].contiguous().view(torch.float32)
    assert torch.allclose(got.cpu().double(), best, atol=1e-5)


@pytest.mark.parametrize("kind", ["torch", "triton", "cpu"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_end_their_document_alone(bad: float, kind: str) -> None:
    state = make_group_state(8, _VOCABULARY)
    beams = BeamParameters(num_beams=3, num_candidates=6, early_stopping=0)
    shape = seat_groups(state, [group_of(beams), group_of(beams)])
    scores = _scores(6, shape.num_rows)
    scores[1, 17] = bad
    _chooser(kind, state).choose(state, shape, scores)
    assert int(state.said[0, SAID_TOKEN]) == layout.NOT_FINITE
    assert state.said[:6, SAID_DONE].tolist() == [1, 0, 0, 0, 0, 0]
    assert (state.said[3:6, SAID_TOKEN] >= 0).all()
