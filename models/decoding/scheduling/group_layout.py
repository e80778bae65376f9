"""Columns of a row of a group, behind those that every row has; and what a step says of it. No torch here.

What is true of a search as a whole stands in the row of its leader, its first beam. Each row keeps
one of the sequences that are finished: as many as there are beams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.decoding.scheduling import layout
from models.decoding.scheduling.group import Group
from models.decoding.scheduling.layout import Shape, shape_for
from models.decoding.scheduling.pages import Pages
from models.decoding.scheduling.seats import Ints
from models.decoding.scheduling.staging import stage_record

# Columns, counted from `GroupState.first_column`. Floats are kept by their bits.
BEAM = 0  #: which of its group
WIDTH = 1  #: beams of the group
LEADER = 2  #: the seat of the first
FIRST_POSITION = 3  #: of the token that new tokens follow
FORCED_FIRST = 4  #: the first new token; -1: none is forced
NUM_CANDIDATES = 5
LENGTH_PENALTY = 6
EARLY = 7
SCORE = 8  #: sum of log probabilities of the running beam
FINISHED_SCORE = 9  #: of the finished sequence that this row keeps, best first
FINISHED_LENGTH = 10  #: new tokens; 0: none is there
FINISHED_PARENT = 11  #: the beam that it continued
FINISHED_TOKEN = 12  #: its last token
SOURCE_LENGTH = 13
SOURCE_PAGES = 14

#: transformers' score of a beam that must not win.
NEVER = -1e9

# What a step says of a row.
SAID_TOKEN = 0  #: that goes on, or `layout.NOTHING` or `layout.NOT_FINITE`
SAID_PARENT = 1  #: which beam it continues
SAID_LENGTH = 2  #: new tokens
SAID_DONE = 3  #: of the leader: the search has ended
SAID_FINISHED = 4  #: then, of each row: score, length, parent and last token of the sequence that it keeps
NUM_SAID = 8


@dataclass(frozen=True)
class GroupShape(Shape):
    """What a step of groups is made for; both numbers are those of the largest group."""

    width: int = 1  #: a power of two
    num_candidates: int = 2


def group_shape(
    num_rows: int, num_prompt: int, max_rows: int, *, longest: int, width: int, num_candidates: int
) -> GroupShape:
    """The smallest shape that holds such groups."""
    plain = shape_for(num_rows, num_prompt, max_rows, longest=longest)
    wide = 1 << (width - 1).bit_length()
    return GroupShape(**vars(plain), width=wide, num_candidates=num_candidates)


def exact_shape(
    num_rows: int, num_prompt: int, num_blocks: int, *, longest: int, width: int, num_candidates: int
) -> GroupShape:
    """As large as what it computes."""
    return GroupShape(num_rows, num_prompt, longest, num_blocks, width, num_candidates)


def stage_group(records: Ints, first_column: int, group: Group, tables: list[Pages]) -> None:
    """The rows of a group that enters, and before each the seat that it goes to."""
    beams, seats = group.beams, group.seats
    records[:, 0] = seats
    rows = records[:, 1:]
    stage_record(rows[0], group, tables[0])
    rows[1:] = rows[0]  # alike but for their pages, of which all have as many
    rows[:, layout.PAGES : layout.PAGES + len(tables[0])] = tables
    own = rows[:, first_column:]
    floats = own.view(np.float32)
    # Rows that the host chooses for are on their own to a step: there may be any number of them.
    is_joint = group.slow is None
    own[:, BEAM] = np.arange(len(seats)) if is_joint else 0
    own[:, WIDTH] = len(seats) if is_joint else 1
    own[:, LEADER] = seats[0]
    own[:, FIRST_POSITION] = rows[:, layout.POSITION]
    own[:, FORCED_FIRST] = beams.forced_first_id
    own[:, NUM_CANDIDATES] = beams.num_candidates
    floats[:, LENGTH_PENALTY] = beams.length_penalty
    own[:, EARLY] = beams.early_stopping
    floats[:, SCORE] = NEVER
    floats[0, SCORE] = 0.0  # all begin alike: only the first may be continued, or they would stay alike
    own[:, SOURCE_LENGTH] = len(group.source_ids)
    own[:, SOURCE_PAGES : SOURCE_PAGES + len(group.source_pages)] = group.source_pages
