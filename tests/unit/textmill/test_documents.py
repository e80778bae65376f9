"""What Python callers pass as documents: frames, rows, texts, and what is none of them.

The tables are stand-ins with the methods of pandas, polars and Arrow that are used, and
values that behave like theirs.
"""

from __future__ import annotations

import datetime
import decimal
import io
import json
import uuid
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.fake_server import FakeServer
from textmill.client import Textmill
from textmill.documents import Documents
from textmill.errors import UnreadableInput


class PandasFrame:
    """`columns`, `itertuples`; iterating gives the column names, as pandas does."""

    def __init__(self, **columns: Sequence[Any]) -> None:
        self._columns = columns
        self.columns = np.array(list(columns), dtype=object)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.columns)

    def itertuples(self, *, index: bool, name: str | None) -> Iterator[tuple[Any, ...]]:
        assert not index
        assert name is None
        return zip(*self._columns.values(), strict=True)


class PolarsFrame(PandasFrame):
    """`columns`, `iter_rows`; iterating gives whole columns, as polars does."""

    itertuples = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._columns.values())

    def iter_rows(self, *, named: bool) -> Iterator[dict[str, Any]]:
        assert named
        return (
            dict(zip(self._columns, values, strict=True))
            for values in zip(*self._columns.values(), strict=True)
        )


class ArrowTable:
    """`schema`, `to_batches`, `to_pylist`."""

    def __init__(self, **columns: Sequence[Any]) -> None:
        self._rows = list(PolarsFrame(**columns).iter_rows(named=True))
        self.schema = SimpleNamespace(names=list(columns))

    def to_batches(self, max_chunksize: int) -> list[Any]:
        return [
            SimpleNamespace(to_pylist=lambda: self._rows[:1]),
            SimpleNamespace(to_pylist=lambda: self._rows[1:]),
        ]

    def to_pylist(self) -> list[Any]:
        return self._rows


class ArrowArray:
    """`to_pylist`, and no schema; iterating gives scalars of Arrow's own."""

    def to_pylist(self) -> list[str]:
        return ["a", "b"]


class LazyFrame:
    """`collect`, `collect_schema`."""

    def collect(self) -> None: ...

    def collect_schema(self) -> None: ...


class NAType:
    """pandas' missing value: neither true nor false."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __eq__ = __ne__ = lambda self, other: self  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class NaTType(datetime.datetime):
    """pandas' missing time, which is a datetime by inheritance."""


def sent(server: FakeServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.requests[-1].content.split(b"\n") if line]


@pytest.mark.parametrize("kind", [PandasFrame, PolarsFrame, ArrowTable])
def test_a_frame_is_its_rows(client: Textmill, server: FakeServer, kind: Any) -> None:
    """W23: the column names were the documents."""
    frame = kind(review=["good", "bad"], stars=[5, 1], model=["Civic", "Jazz"])
    client.submit(frame, task="sentiment", text_column="review", id_column="stars")
    assert sent(server) == [
        {"review": "good", "stars": 5, "model": "Civic"},
        {"review": "bad", "stars": 1, "model": "Jazz"},
    ]
    query = server.requests[-1].url.params
    assert (query["text_column"], query["id_column"]) == ("review", "stars")


@pytest.mark.parametrize("kind", [PandasFrame, PolarsFrame, ArrowTable])
def test_a_frame_without_the_column_is_refused_with_those_it_has(
    client: Textmill, server: FakeServer, kind: Any
) -> None:
    with pytest.raises(UnreadableInput, match=r"no column 'text' \(columns: review, stars\).*text_column"):
        client.submit(kind(review=["good"], stars=[5]), task="sentiment")
    assert server.requests == []


def test_a_frames_own_text_column_is_a_role_so_that_the_rest_is_metadata(
    client: Textmill, server: FakeServer
) -> None:
    frame = PandasFrame(text=["good"], model=["Civic"], read=["yes"])
    frame.read = frame  # type: ignore[attr-defined]  # pandas has columns as attributes
    client.submit(frame)
    assert server.requests[-1].url.params["text_column"] == "text"


def test_columns_of_one_name_are_refused() -> None:
    frame = PandasFrame(text=["a"])
    frame.columns = np.array(["text", "text"], dtype=object)
    with pytest.raises(UnreadableInput, match="names a column twice: text, text"):
        Documents(frame)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (np.float32("nan"), None),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),  # noqa: FBT003 -- the value under test
        (np.str_("x"), "x"),
        (np.array([1.0, float("nan")]), [1.0, None]),
        (np.datetime64("2026-11-26T10:00:00.000000001"), "2026-11-26T10:00:00.000000001"),
        (np.datetime64("NaT"), None),
        (NAType(), None),
        (NaTType(2026, 1, 1), None),
        (None, None),
        (datetime.datetime(2026, 11, 26, 10, tzinfo=datetime.UTC), "2026-11-26T10:00:00+00:00"),
        (datetime.date(2026, 11, 26), "2026-11-26"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"k": float("nan")}, {"k": None}),
        (123456789012345678901, 123456789012345678901),
    ],
)
def test_cells_arrive_as_what_json_has(value: Any, expected: Any) -> None:
    """W23: missing values, numpy's scalars, times; W21: long numbers keep their digits."""
    frame = PandasFrame(text=["a"], value=[value])
    (line,) = Documents(frame).lines()
    assert json.loads(line) == {"text": "a", "value": expected}


@pytest.mark.parametrize("value", [float("inf"), np.float64("-inf"), b"bytes", object(), {1, 2}])
def test_cells_that_json_does_not_have_are_refused_by_document(value: Any) -> None:
    with pytest.raises(UnreadableInput, match="document 2 cannot be written as JSON"):
        list(Documents([{"text": "a"}, {"text": "b", "metadata": {"v": value}}]).lines())


@pytest.mark.parametrize(
    "source",
    [
        ["a", "b"],
        ("a", "b"),
        (text for text in ("a", "b")),
        [{"text": "a"}, {"text": "b"}],
        np.array(["a", "b"]),
        ArrowArray(),
    ],
)
def test_texts_and_rows_come_in_any_iterable(source: Any) -> None:
    assert [json.loads(line)["text"] for line in Documents(source).lines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"text": "a"}, "single row"),
        ({"text": ["a", "b"]}, "mapping of columns"),
        (b"a", "bytes"),
        ({"a", "b"}, "set"),
        (7, "int"),
        (None, "NoneType"),
        (io.StringIO("a\n"), "open file"),
        (LazyFrame(), r"frame\.collect\(\)"),
    ],
)
def test_what_holds_no_documents_is_a_type_error(client: Textmill, source: Any, message: str) -> None:
    """W23: never its keys, its lines or its letters as documents."""
    with pytest.raises(TypeError, match=message):
        client.submit(source)


@pytest.mark.parametrize("row", [7, None, ["a"], ("a", "b")])
def test_a_document_of_another_type_is_named(row: Any) -> None:
    with pytest.raises(TypeError, match="document 2 must be a text or a mapping"):
        list(Documents(["a", row]).lines())
