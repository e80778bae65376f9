"""Which tokens come next, for all documents of a step.

Rows that need nothing special are chosen together: greedy rows by one maximum, beams of
equal number by one selection. Rows with transformers' processors go through these by
document, or with others of equal options where the processors look at scores alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from models.decoding.first.beam_choice import choose_beams, choose_beams_alone
from models.decoding.first.top import best_of_rows
from models.decoding.first.turn import Turn, known_tokens, last_sequences, rows_of
from models.decoding.parameters.processors import banned_tokens, look_at_scores_alone
from models.decoding.sampling.beam_search import BeamSearch
from models.decoding.sampling.finite import check_finite
from models.decoding.sampling.samples import Samples
from models.loading.stops import end_in_stop

_ROWS_AT_ONCE = 16
_Way = Callable[["list[Turn]", Tensor], None]


def choose(turns: Sequence[Turn], logits: Tensor) -> None:
    """Fills `chosen` (or `failure`) of every turn and lets its search take it.

    Args:
        turns: the documents of the step.
        logits: of all their rows, (rows, vocabulary); may be overwritten.
    """
    _ban(turns, logits)
    for group, choose_group in _groups(turns):
        needs_much = logits.is_cpu and choose_group is not _choose_greedy
        for some in _few_at_once(group) if needs_much else [group]:
            _keep_failures_apart(some, choose_group, logits)
    _accept([turn for turn in turns if turn.failure is None], logits)


def _groups(turns: Sequence[Turn]) -> Iterable[tuple[list[Turn], _Way]]:
    """Turns that are chosen together, and by what."""
    groups: dict[Hashable, list[Turn]] = defaultdict(list)
    ways: dict[Hashable, _Way] = {}
    for turn in turns:
        key, way = _way(turn)
        groups[key].append(turn)
        ways[key] = way
    return [(group, ways[key]) for key, group in groups.items()]


def _few_at_once(turns: list[Turn]) -> Iterator[list[Turn]]:
    """A hundred rows of probabilities are tens of megabytes.

    A CPU's allocator fetches so much from the system page by page, at every step: with
    beams a fifth of the speed. Little is reused.
    """
    some: list[Turn] = []
    for turn in turns:
        if some and sum(each.num_rows for each in some) + turn.num_rows > _ROWS_AT_ONCE:
            yield some
            some = []
        some.append(turn)
    yield some


def _way(turn: Turn) -> tuple[Hashable, _Way]:
    search = turn.search
    is_plain = turn.banned is not None
    if isinstance(search, BeamSearch):
        if is_plain and search.generator is None:
            return ("beams", search.width, search.num_candidates, turn.num_rows), choose_beams
        return turn, choose_beams_alone
    if is_plain and search.generator is None:
        return "greedy", _choose_greedy
    if look_at_scores_alone(turn.active):
        # By what is really applied: at other lengths, other processors of the same options are active.
        kinds = tuple(type(processor) for processor in turn.active)
        return ("shared", search.options.group, kinds), _choose_shared
    return turn, _choose_shared


def _ban(turns: Sequence[Turn], logits: Tensor) -> None:
    """Forbids tokens of greedy and sampled rows; beams need the sum over all tokens first."""
    pairs = [
        (row, token)
        for turn in turns
        if turn.banned and isinstance(turn.search, Samples)
        for row in range(turn.rows.start, turn.rows.stop)
        for token in known_tokens(turn.banned, logits)
    ]
    if pairs:
        rows, tokens = torch.tensor(pairs, device=logits.device).unbind(1)
        logits[rows, tokens] = -torch.inf


def _choose_greedy(turns: list[Turn], logits: Tensor) -> None:
    rows = [turn.rows.start for turn in turns]  # a greedy document has one sequence
    own = logits if len(rows) == len(logits) else logits[rows]
    best, tokens = best_of_rows(own)
    for turn, score, token in zip(turns, best.tolist(), tokens.tolist(), strict=True):
        check_finite(score)
        turn.chosen = [token]


def _choose_shared(turns: list[Turn], logits: Tensor) -> None:
    """Through the processors that these documents have in common; drawn by each from its own stream."""
    ids = torch.tensor(last_sequences(turns), device=logits.device)
    scores = torch.cat([rows_of(turn, logits) for turn in turns]).float()
    for processor in turns[0].active if turns[0].banned is None else ():
        # It would ask for the length, which these documents do not share; that it is active is known.
        banned = banned_tokens([processor]) if len(turns) > 1 else None
        if banned is None:
            scores = processor(ids, scores)
        else:
            scores[:, known_tokens(banned, scores)] = -torch.inf
    best, tokens = scores.max(dim=-1)
    for score in best.tolist():  # before the first draw, which cannot be repeated
        check_finite(score)
    start = 0
    for turn in turns:
        stop = start + len(turn.search.live)
        turn.chosen = tokens[start:stop].tolist()
        if turn.search.generator is not None:
            assert isinstance(turn.search, Samples)
            turn.chosen = turn.search.drawn(scores[start:stop])
        start = stop


def _accept(turns: Sequence[Turn], logits: Tensor) -> None:
    by_stop: dict[int, list[Turn]] = defaultdict(list)
    for turn in turns:
        turn.ends = [False] * len(turn.chosen)
        if turn.search.options.stop is not None:
            by_stop[id(turn.search.options.stop)].append(turn)
    for stopping in by_stop.values():
        _keep_failures_apart(stopping, _look_for_stops, logits)
    for turn in turns:
        if turn.failure is None:
            turn.search.accept(turn.chosen, turn.ends)


def _look_for_stops(turns: list[Turn], _: Tensor) -> None:
    """Which of what was chosen completes one of the stop strings that these documents share."""
    stop = turns[0].search.options.stop
    assert stop is not None
    proposed = [turn.search.proposed(turn.chosen) for turn in turns]
    hits = iter(end_in_stop(stop, [ids for each in proposed for ids in each]))
    for turn, each in zip(turns, proposed, strict=True):
        turn.ends = [next(hits) for _ in each]


def _keep_failures_apart(turns: list[Turn], choose_some: _Way, logits: Tensor) -> None:
    """All at once; one at a time when that raises, to find out whose fault it is."""
    try:
        choose_some(turns, logits)
    except torch.AcceleratorError:
        raise  # the device itself has failed
    except Exception as error:
        if len(turns) == 1:
            turns[0].failure = error
            return
        for turn in turns:
            _keep_failures_apart([turn], choose_some, logits)
