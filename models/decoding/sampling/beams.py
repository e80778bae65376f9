"""Beam search on the device, in plain torch: for tests and for devices without a faster way.

One step of transformers' `_beam_search` (5.24) for all groups at once, scores in float32 as
there. Every row is computed as if it led a group; only what leaders say is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from models.decoding.sampling.reference import float_of, without_forbidden
from models.decoding.scheduling import group_layout as columns
from models.decoding.scheduling import layout
from models.decoding.scheduling.group_layout import NEVER, GroupShape
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.state import BatchState


class ReferenceBeams:
    """The chooser of beams that others are compared with."""

    provenance: Mapping[str, str] = MappingProxyType({})  #: nothing is drawn

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """The beams that go on and the sequences that are finished, into `GroupState.said` and the rows.

        Args:
            state: whose rows are chosen for.
            shape: of the step.
            scores: (rows, vocabulary and perhaps more columns), in any floating type.
        """
        assert isinstance(state, GroupState)
        assert isinstance(shape, GroupShape)
        rows = _Rows(state, shape)
        totals = _log_probabilities(rows, scores[:, : state.vocabulary]) + rows.score[:, None]
        best = _best_of_groups(rows, totals)
        finished = _finish(rows, best)
        running = _go_on(rows, best)
        is_done = _is_done(rows, best, finished, running)
        is_bad = _of_group(rows, best.score[:, :1].isnan() | (best.score[:, :1] == torch.inf))[:, 0]
        _write(rows, finished, running, is_done | is_bad, is_bad)


class _Rows:
    """Of the rows of a step, what the host and earlier steps have noted."""

    def __init__(self, state: GroupState, shape: GroupShape) -> None:
        self.state, self.shape = state, shape
        self.seats = state.seats[: shape.num_rows].long()
        self.all = state.rows[self.seats]
        own = self.own = self.all[:, state.first_column :]
        self.beam, self.width = own[:, columns.BEAM].long(), own[:, columns.WIDTH].long()
        self.score = float_of(own, columns.SCORE)
        self.position = self.all[:, layout.POSITION]
        self.length = self.position - own[:, columns.FIRST_POSITION] + 1  # of new tokens, this one included
        self.is_last = self.position + 1 >= self.all[:, layout.LAST_POSITION]
        numbers = torch.arange(shape.num_rows, device=state.device)
        self.leader = numbers - self.beam  # its row
        wide = torch.arange(shape.width, device=state.device)
        self.members = (numbers[:, None] + wide).clamp(max=shape.num_rows - 1)  # were it a leader
        self.is_member = wide < self.width[:, None]
        self.penalty_exponent = float_of(own, columns.LENGTH_PENALTY).double()[:, None]

    def penalty(self, length: Tensor) -> Tensor:
        """What scores of sequences of this length are divided by, (rows, 1)."""
        return (length[:, None].double() ** self.penalty_exponent).float()


@dataclass(frozen=True)
class _Candidates:
    """Of each leader, (rows, candidates), best first."""

    score: Tensor
    beam: Tensor
    token: Tensor
    has_ended: Tensor


@dataclass(frozen=True)
class _Finished:
    """Of each leader, (rows, width), best first."""

    score: Tensor
    length: Tensor
    parent: Tensor
    token: Tensor


def _log_probabilities(rows: _Rows, scores: Tensor) -> Tensor:
    """Of every token; where one is forced, it is certain."""
    logs = without_forbidden(torch.log_softmax(scores.float(), dim=-1), rows.all)
    first, last = rows.own[:, columns.FORCED_FIRST], rows.all[:, layout.FORCED_LAST]
    forced = torch.where(rows.length == 1, first, -1)
    forced = torch.where(rows.is_last & (last >= 0), last, forced)[:, None]
    certain = torch.where(torch.arange(logs.shape[1], device=logs.device) == forced, 0.0, -torch.inf)
    return torch.where(forced >= 0, certain, logs)


def _best_of_groups(rows: _Rows, totals: Tensor) -> _Candidates:
    count = rows.shape.num_candidates
    values, tokens = totals.topk(min(count, totals.shape[1]), dim=1)
    per_row = values.shape[1]
    values = values[rows.members].masked_fill(~rows.is_member[:, :, None], -torch.inf).flatten(1)
    missing = max(0, count - values.shape[1])
    padded = torch.nn.functional.pad(values, (0, missing), value=-torch.inf)
    score, places = padded.sort(dim=1, descending=True, stable=True)  # of equals the first
    score, places = score[:, :count], places[:, :count].clamp(max=values.shape[1] - 1)
    token = tokens[rows.members].flatten(1).gather(1, places)
    ends = rows.all[:, layout.IDS : layout.IDS + layout.NUM_END_IDS]
    has_ended = rows.is_last[:, None] | (token[:, :, None] == ends[:, None]).any(dim=2)
    order = torch.arange(count, device=score.device)
    is_one = order < rows.own[:, columns.NUM_CANDIDATES, None]
    beam = torch.minimum(places // per_row, rows.width[:, None] - 1)
    return _Candidates(score.masked_fill(~is_one, -torch.inf), beam, token, has_ended | ~is_one)


def _finish(rows: _Rows, best: _Candidates) -> _Finished:
    """Only as many candidates as there are beams may finish; the others are there so that enough go on."""
    width = rows.shape.width
    kept = rows.own[rows.members]
    length, parent, token = (
        kept[:, :, column].masked_fill(~rows.is_member, 0)
        for column in (columns.FINISHED_LENGTH, columns.FINISHED_PARENT, columns.FINISHED_TOKEN)
    )
    score = float_of(kept.flatten(0, 1), columns.FINISHED_SCORE).view(length.shape)
    score = torch.where(length > 0, score, -torch.inf)
    was_full = ((length > 0) | ~rows.is_member).all(dim=1, keepdim=True)
    is_closed = was_full & (rows.own[:, columns.EARLY, None] == 1)
    # The candidates that may finish: as many as a group has beams, where it has so many candidates.
    few = min(width, best.score.shape[1])
    may = best.has_ended[:, :few] & rows.is_member[:, :few] & ~is_closed
    mine = torch.where(may, best.score[:, :few] / rows.penalty(rows.length), -torch.inf)
    lengths = torch.where(may, rows.length[:, None], 0)
    scores = torch.cat([score, mine], dim=1)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :width]

    def in_order(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old.to(new.dtype), new], dim=1).gather(1, order)

    return _Finished(
        scores.gather(1, order),
        in_order(length, lengths),
        in_order(parent, best.beam[:, :few]),
        in_order(token, best.token[:, :few]),
    )


def _go_on(rows: _Rows, best: _Candidates) -> _Candidates:
    """The best that have not ended, (rows, width); when too few are left, ended ones fill the rows."""
    count = best.score.shape[1]
    rank = torch.arange(count, device=best.score.device) + best.has_ended.long() * count
    chosen = rank.sort(dim=1).indices
    chosen = chosen[:, torch.arange(rows.shape.width, device=chosen.device).clamp(max=count - 1)]
    ended = best.has_ended.gather(1, chosen)
    return _Candidates(
        torch.where(ended, NEVER, best.score.gather(1, chosen)),
        best.beam.gather(1, chosen),
        best.token.gather(1, chosen),
        ended,
    )


def _is_done(rows: _Rows, best: _Candidates, finished: _Finished, running: _Candidates) -> Tensor:
    """Whether a search ends: transformers' rule of thumb, for every leader."""
    early = rows.own[:, columns.EARLY]
    is_full = ((finished.length > 0) | ~rows.is_member).all(dim=1)
    most = rows.all[:, layout.LAST_POSITION] - rows.own[:, columns.FIRST_POSITION]
    looks_far = (early == 2) & (rows.penalty_exponent[:, 0] > 0)
    reach = rows.penalty(torch.where(looks_far, most, rows.length))[:, 0]
    worst = finished.score.masked_fill(~rows.is_member, torch.inf).amin(dim=1)
    cannot_win = is_full & ~(running.score[:, 0] / reach > worst)
    return best.has_ended.all(dim=1) | (is_full & (early == 1)) | cannot_win


def _of_group(rows: _Rows, of_leader: Tensor) -> Tensor:
    """What a row's leader has, for every row."""
    return of_leader.index_select(0, rows.leader)


def _write(rows: _Rows, finished: _Finished, running: _Candidates, is_done: Tensor, is_bad: Tensor) -> None:
    state = rows.state
    is_nobody = rows.seats == state.num_seats

    def mine(of_leaders: Tensor) -> Tensor:
        return of_leaders[rows.leader, rows.beam]

    done = _of_group(rows, is_done)
    token, parent = mine(running.token).int(), mine(running.beam)
    kept = torch.stack(
        [
            mine(finished.score).view(torch.int32),
            mine(finished.length).int(),
            mine(finished.parent).int(),
            mine(finished.token).int(),
        ],
        dim=1,
    )
    said = torch.where(_of_group(rows, is_bad), layout.NOT_FINITE, token)
    said = torch.where(is_nobody, layout.NOTHING, said)
    is_end = done & (rows.beam == 0) & ~is_nobody
    head = torch.stack([said, parent.int(), rows.length, is_end.int()], dim=1)
    state.said[: rows.shape.num_rows].copy_(torch.cat([head, kept], dim=1))
    state.inherit(rows.seats, rows.seats[rows.leader + parent], rows.position)
    new = rows.all.clone()
    own = new[:, state.first_column :]
    new[:, layout.TOKEN] = token
    new[:, layout.POSITION] = rows.position + 1
    new[:, layout.IS_DONE] = done.int()
    own[:, columns.SCORE] = mine(running.score).contiguous().view(torch.int32)
    own[:, columns.FINISHED_SCORE : columns.FINISHED_TOKEN + 1] = kept
    state.rows[rows.seats] = torch.where(is_nobody[:, None], rows.all, new)
