"""Which tokens come next, for all documents of a step.

Rows that need nothing special are chosen together: greedy rows by one maximum, beams of
equal number by one selection. Rows with transformers' processors go through these by
document, or with others of equal options where the processors look at scores alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StopStringCriteria

from models.engine.beams import BeamSearch, Candidate
from models.engine.options import banned_tokens, look_at_scores_alone
from models.engine.samples import Samples
from models.engine.top import best_of_rows, top_of_rows
from models.errors import NotFinite

Search = Samples | BeamSearch
_ROWS_AT_ONCE = 16
_Way = Callable[["list[Turn]", Tensor], None]


@dataclass(eq=False)
class Turn:
    """One document's part of a step: its rows of logits, and what is chosen from them."""

    search: Search
    rows: slice  #: of the logits; a single one in the first step
    failure: Exception | None = None
    chosen: list[Any] = field(default_factory=list)  #: tokens, or candidates
    active: list[LogitsProcessor] = field(init=False)
    banned: list[int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.active = self.search.options.active(self.length)
        self.banned = banned_tokens(self.active)

    @property
    def length(self) -> int:
        """Of its sequences, start included."""
        search = self.search
        sequence = search.beams[0] if isinstance(search, BeamSearch) else search.sequences[search.live[0]]
        return len(search.options.start_ids) + len(sequence)

    @property
    def is_first(self) -> bool:
        """Whether one row stands for all sequences."""
        return self.length == len(self.search.options.start_ids)

    @property
    def num_rows(self) -> int:
        """Rows it has."""
        return int(self.rows.stop - self.rows.start)


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
    _accept([turn for turn in turns if turn.failure is None])


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
            return ("beams", search.width, search.num_candidates, turn.num_rows), _choose_beams
        return turn, _choose_beams_alone
    if is_plain and search.generator is None:
        return "greedy", _choose_greedy
    if look_at_scores_alone(turn.active):
        return ("shared", search.options.group, turn.banned is not None), _choose_shared
    return turn, _choose_shared


def _ban(turns: Sequence[Turn], logits: Tensor) -> None:
    """Forbids tokens of greedy and sampled rows; beams need the sum over all tokens first."""
    pairs = [
        (row, token)
        for turn in turns
        if turn.banned and isinstance(turn.search, Samples)
        for row in range(turn.rows.start, turn.rows.stop)
        for token in turn.banned
    ]
    if pairs:
        rows, tokens = torch.tensor(pairs, device=logits.device).unbind(1)
        logits[rows, tokens] = -torch.inf


def _choose_greedy(turns: list[Turn], logits: Tensor) -> None:
    rows = [turn.rows.start for turn in turns]  # a greedy document has one sequence
    own = logits if len(rows) == len(logits) else logits[rows]
    best, tokens = best_of_rows(own)
    for turn, score, token in zip(turns, best.tolist(), tokens.tolist(), strict=True):
        _check(score)
        turn.chosen = [token]


def _choose_shared(turns: list[Turn], logits: Tensor) -> None:
    """Through the processors that these documents have in common; drawn by each from its own stream."""
    ids = torch.tensor(_last_sequences(turns), device=logits.device)
    scores = torch.cat([_rows_of(turn, logits) for turn in turns]).float()
    for processor in turns[0].active if turns[0].banned is None else ():
        scores = processor(ids, scores)
    best, tokens = scores.max(dim=-1)
    for score in best.tolist():  # before the first draw, which cannot be repeated
        _check(score)
    start = 0
    for turn in turns:
        stop = start + len(turn.search.live)
        turn.chosen = tokens[start:stop].tolist()
        if turn.search.generator is not None:
            turn.chosen = _draw(turn.search, scores[start:stop])
        start = stop


def _draw(search: Search, scores: Tensor) -> list[int]:
    """One token for each live sequence.

    A finished sequence draws too, so that the stream goes on as in `generate`, where
    all sequences of a document stay to the end.
    """
    probabilities = scores.new_ones((search.width, scores.shape[-1]))
    probabilities[search.live] = torch.softmax(scores, dim=-1)
    drawn = torch.multinomial(probabilities, num_samples=1, generator=search.generator)
    return [int(token) for token in drawn[search.live, 0].tolist()]


def _choose_beams(turns: list[Turn], logits: Tensor) -> None:
    """The best continuations of documents with equally many beams."""
    num_rows, num_candidates = turns[0].num_rows, turns[0].search.num_candidates  # type: ignore[union-attr]
    rows = [row for turn in turns for row in range(turn.rows.start, turn.rows.stop)]
    own = logits if len(rows) == len(logits) else logits[rows]
    log_probabilities = torch.log_softmax(own.float(), dim=-1)
    for number, turn in enumerate(turns):
        if turn.banned:
            log_probabilities[number * num_rows : (number + 1) * num_rows, turn.banned] = -torch.inf
    running = torch.tensor([turn.search.scores[:num_rows] for turn in turns], device=logits.device)  # type: ignore[union-attr]
    values, tokens = top_of_rows(log_probabilities, num_candidates)
    # (documents, beams * candidates): the best of each beam are enough to find the best of all
    values = (values.view(len(turns), num_rows, -1) + running[:, :, None]).flatten(1)
    best, places = values.topk(num_candidates)
    tokens = tokens.view(len(turns), -1).gather(1, places)
    beams = places // num_candidates
    for turn, *columns in zip(turns, best.tolist(), beams.tolist(), tokens.tolist(), strict=True):
        _check(columns[0][0])
        turn.chosen = [Candidate(*each) for each in zip(*columns, strict=True)]


def _choose_beams_alone(turns: list[Turn], logits: Tensor) -> None:
    """One document's beams through its processors, as in `generate`."""
    (turn,) = turns
    search = turn.search
    assert isinstance(search, BeamSearch)
    scores = torch.log_softmax(_rows_of(turn, logits).float(), dim=-1)
    ids = torch.tensor(_last_sequences(turns), device=logits.device)
    for processor in turn.active:
        scores = processor(ids, scores)
    running = torch.tensor(search.scores, device=logits.device)
    flat = (scores + running[:, None]).view(-1)
    if search.generator is None:
        best, places = flat.topk(search.num_candidates)
    else:
        places = torch.multinomial(
            torch.softmax(flat, dim=-1), num_samples=search.num_candidates, generator=search.generator
        )
        best, order = flat[places].sort(descending=True)
        places = places[order]
    _check(float(best[0]))
    size = scores.shape[-1]
    turn.chosen = [
        Candidate(score, place // size, place % size)
        for score, place in zip(best.tolist(), places.tolist(), strict=True)
    ]


def _accept(turns: Sequence[Turn]) -> None:
    ends: dict[int, list[bool]] = {id(turn): [False] * len(turn.chosen) for turn in turns}
    by_stop: dict[int, list[Turn]] = defaultdict(list)
    for turn in turns:
        if turn.search.options.stop is not None:
            by_stop[id(turn.search.options.stop)].append(turn)
    for stopping in by_stop.values():
        proposed = [turn.search.proposed(turn.chosen) for turn in stopping]
        stop = stopping[0].search.options.stop
        assert stop is not None
        hits = iter(_stopped(stop, [ids for each in proposed for ids in each]))
        for turn, each in zip(stopping, proposed, strict=True):
            ends[id(turn)] = [next(hits) for _ in each]
    for turn in turns:
        turn.search.accept(turn.chosen, ends[id(turn)])


def _stopped(stop: StopStringCriteria, sequences: Sequence[Sequence[int]]) -> list[bool]:
    """Which sequences end in a stop string; it looks at the last tokens alone."""
    num_last = stop.maximum_token_len
    no_token = stop.embedding_vec.shape[0]  # beyond the vocabulary: matches nothing
    last = [[no_token] * (num_last - len(ids)) + list(ids[-num_last:]) for ids in sequences]
    return list(stop(torch.tensor(last, device=stop.embedding_vec.device), None).tolist())


def _rows_of(turn: Turn, logits: Tensor) -> Tensor:
    """A row for each of its sequences."""
    own = logits[turn.rows]
    return own.expand(len(turn.search.live), -1) if turn.is_first else own


def _last_sequences(turns: Sequence[Turn]) -> list[list[int]]:
    """Whole sequences of one document; of several, whose processors do not look, something of one length."""
    if len(turns) > 1:
        return [[0] for turn in turns for _ in turn.search.live]
    search = turns[0].search
    sequences = search.beams if isinstance(search, BeamSearch) else [search.sequences[n] for n in search.live]
    return [[*search.options.start_ids, *sequence] for sequence in sequences]


def _check(score: float) -> None:
    if score != score or score == float("inf"):  # NaN alone differs from itself
        raise NotFinite


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
