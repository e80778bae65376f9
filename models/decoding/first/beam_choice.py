"""The best continuations of beams."""

from __future__ import annotations

import torch
from torch import Tensor

from models.decoding.first.top import top_of_rows
from models.decoding.first.turn import Turn, known_tokens, last_sequences, rows_of
from models.decoding.sampling.beam_search import BeamSearch, Candidate
from models.decoding.sampling.finite import check_finite
from models.errors import InvalidParameter


def choose_beams(turns: list[Turn], logits: Tensor) -> None:
    """The best continuations of documents with equally many beams."""
    num_rows, num_candidates = turns[0].num_rows, turns[0].search.num_candidates  # type: ignore[union-attr]
    size = logits.shape[-1]
    rows = [row for turn in turns for row in range(turn.rows.start, turn.rows.stop)]
    if turns[0].is_first and num_candidates > size:  # one row has too few: as in `generate`, from all
        num_rows = turns[0].search.width
        rows = [row for row in rows for _ in range(num_rows)]
    _check_candidates(num_candidates, num_rows * size)
    own = logits if rows == list(range(len(logits))) else logits[rows]  # one row may stand for several
    log_probabilities = torch.log_softmax(own.float(), dim=-1)
    for number, turn in enumerate(turns):
        if turn.banned:
            banned = known_tokens(turn.banned, logits)
            log_probabilities[number * num_rows : (number + 1) * num_rows, banned] = -torch.inf
    running = torch.tensor([turn.search.scores[:num_rows] for turn in turns], device=logits.device)  # type: ignore[union-attr]
    num_columns = min(num_candidates, size)
    values, tokens = top_of_rows(log_probabilities, num_columns)
    # (documents, beams * candidates): the best of each beam are enough to find the best of all
    values = (values.view(len(turns), num_rows, -1) + running[:, :, None]).flatten(1)
    best, places = values.topk(num_candidates)
    tokens = tokens.view(len(turns), -1).gather(1, places)
    beams = places // num_columns
    for turn, *columns in zip(turns, best.tolist(), beams.tolist(), tokens.tolist(), strict=True):
        check_finite(columns[0][0])
        turn.chosen = [Candidate(*each) for each in zip(*columns, strict=True)]


def choose_beams_alone(turns: list[Turn], logits: Tensor) -> None:
    """One document's beams through its processors, as in `generate`."""
    (turn,) = turns
    search = turn.search
    assert isinstance(search, BeamSearch)
    scores = torch.log_softmax(rows_of(turn, logits).float(), dim=-1)
    ids = torch.tensor(last_sequences(turns), device=logits.device)
    for processor in turn.active:
        scores = processor(ids, scores)
    turn.chosen = search.candidates(scores)


def _check_candidates(num_wanted: int, num_there: int) -> None:
    if num_wanted > num_there:
        raise InvalidParameter(
            f"a beam search with so many beams and end tokens needs {num_wanted} continuations to choose "
            f"from, and the vocabulary gives {num_there}: ask for fewer beams"
        )
