"""Bodies in pieces, and the rows read from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from jobs.rows.columns import Columns
from jobs.rows.formats import RawRow, as_document
from jobs.rows.reading import RowReader

LIMIT = 1000
#: Text that can be stored: no NUL, no lone surrogate.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)
CUTS = st.lists(st.integers(0, 5000), max_size=8)


def chunks_of(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The body, cut at these places."""
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:end] for start, end in pairwise(places)]


def reader(
    kind: str, *, roles: dict[str, str] | None = None, is_mixed: bool = False, **options: Any
) -> RowReader:
    """A reader with small limits."""
    limits = {"max_line_bytes": LIMIT, "max_body_bytes": 1_000_000}
    return RowReader(kind=kind, columns=Columns(roles or {}, is_mixed=is_mixed), **{**limits, **options})


def rows_of(kind: str, body: bytes, *, cuts: Sequence[int] = (), **options: Any) -> list[RawRow]:
    """The rows of a body."""
    return list(reader(kind, **options).rows(chunks_of(body, cuts)))


def rows_of_objects(objects: Iterable[Any]) -> list[RawRow]:
    """The documents of an array."""
    return [as_document(number, value) for number, value in enumerate(objects, start=1)]
