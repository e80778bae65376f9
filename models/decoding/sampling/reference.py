"""The sampler in plain torch: for tests and for devices without a faster way."""

from __future__ import annotations

import torch
from torch import Tensor

from models.decoding.sampling.interface import PHILOX
from models.decoding.sampling.noise import noise
from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.state import BatchState


class ReferenceSampler:
    """The sampler that others are compared with."""

    provenance = PHILOX

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As the interface says."""
        seats = state.seats[: shape.num_rows].long()
        rows = state.rows[seats]
        scores = scores[:, : state.vocabulary].float()
        is_bad = (scores.isnan() | (scores == torch.inf)).any(dim=1)
        scores = _penalised(without_forbidden(scores, rows), rows, state.seen[seats, : state.vocabulary])
        positions = rows[:, layout.POSITION]
        is_last = positions + 1 >= rows[:, layout.LAST_POSITION]
        tokens = _drawn(scores, rows, positions)
        forced = rows[:, layout.FORCED_LAST]
        tokens = torch.where(is_last & (forced >= 0), forced, tokens)
        ends = rows[:, layout.IDS : layout.IDS + layout.NUM_END_IDS]
        is_end = is_last | is_bad | (ends == tokens[:, None]).any(dim=1)
        said = torch.where(is_bad, layout.NOT_FINITE, torch.where(is_end, -1 - tokens, tokens))
        is_nobody = seats == state.num_seats
        state.chosen[: shape.num_rows].copy_(torch.where(is_nobody, layout.NOTHING, said))
        for column, new in (
            (layout.TOKEN, tokens),
            (layout.POSITION, positions + 1),
            (layout.IS_DONE, is_end),
        ):
            state.rows[seats, column] = torch.where(is_nobody, rows[:, column], new.int())


def without_forbidden(scores: Tensor, rows: Tensor) -> Tensor:
    """Minus infinity for banned tokens, and for those that end below the minimum length."""
    ids = rows[:, layout.IDS : layout.PAGES]
    is_too_short = rows[:, layout.POSITION] < rows[:, layout.MIN_POSITION]
    is_banned = torch.arange(ids.shape[1], device=rows.device) >= layout.NUM_END_IDS
    is_off = (ids >= 0) & (is_banned | is_too_short[:, None])
    beyond = scores.shape[1]  # a column of its own for those that are allowed
    padded = torch.nn.functional.pad(scores, (0, 1))
    padded.scatter_(1, torch.where(is_off, ids, beyond).long(), -torch.inf)
    return padded[:, :beyond]


def _penalised(scores: Tensor, rows: Tensor, seen: Tensor) -> Tensor:
    penalty = float_of(rows, layout.PENALTY)[:, None]
    changed = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where((seen != 0) & (penalty != 1), changed, scores)


def _drawn(scores: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
    """The most likely tokens, or those that win the race among the ones that top-k and top-p leave."""
    temperature = float_of(rows, layout.TEMPERATURE)[:, None]
    inverse = 1 / temperature.clamp(min=1e-6)
    top_k, top_p = rows[:, layout.TOP_K, None], float_of(rows, layout.TOP_P)[:, None]
    ordered = scores.sort(dim=1, descending=True).values
    last = scores.shape[1] - 1
    least = ordered.gather(1, (torch.where(top_k > 0, top_k, last + 1) - 1).clamp(max=last).long())
    best = ordered[:, :1]
    weights = torch.exp((ordered - best) * inverse).masked_fill(ordered < least, 0.0)
    mass = weights.double().cumsum(dim=1)
    needed = (mass < mass[:, -1:] * top_p).sum(dim=1, keepdim=True).clamp(max=last)
    least = torch.where(top_p < 1, torch.maximum(least, ordered.gather(1, needed)), least)
    race = (scores - best) * inverse + noise(
        rows[:, layout.SEED_LOW : layout.SEED_HIGH + 1], positions, last + 1
    )
    race = race.masked_fill(scores < least, -torch.inf)
    return torch.where(temperature > 0, race, scores).argmax(dim=1).int()


def float_of(rows: Tensor, column: int) -> Tensor:
    """A column that holds floats."""
    return rows[:, column].contiguous().view(torch.float32)
