"""Documents from Python: rows, texts and data frames, as lines of JSON."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from textmill.errors import UnreadableInput

_WHAT = "a list of texts or rows, a data frame, or the path of a file"
#: Missing values of pandas, told by name so that pandas need not be there.
_MISSING = frozenset({"NaTType", "NAType"})


class Documents:
    """What a caller passed as documents.

    Args:
        source: Texts, rows (mappings), or a table of pandas, polars or Arrow.

    Raises:
        TypeError: it is neither; the message says what to pass.
    """

    def __init__(self, source: Any) -> None:
        _refuse(source)
        names = _names_of(source)
        #: the columns of a table; None when the rows are our own
        self.columns = None if names is None else [str(name) for name in names]
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            raise UnreadableInput(f"the table names a column twice: {', '.join(self.columns[:20])}")
        self._source = source

    def lines(self) -> Iterator[bytes]:
        """One JSON object a line.

        Raises:
            TypeError: a document is neither a mapping nor a string.
            UnreadableInput: a value cannot be written as JSON.
        """
        for number, row in enumerate(_rows_of(self._source, self.columns), start=1):
            if isinstance(row, str):
                row = {"text": row}
            elif not isinstance(row, Mapping):
                raise TypeError(
                    f"document {number} must be a text or a mapping of fields, not {type(row).__name__}"
                )
            yield _line(number, row)


def _refuse(source: Any) -> None:
    if isinstance(source, Mapping):
        raise TypeError(f"a single row or a mapping of columns was passed; pass {_WHAT}")
    if isinstance(source, bytes | bytearray | memoryview | set | frozenset):
        raise TypeError(f"documents cannot be {type(source).__name__}; pass {_WHAT}")
    if _has(source, "read"):
        raise TypeError(f"an open file was passed; pass its path ({_WHAT})")
    if _has(source, "collect_schema") and _has(source, "collect"):
        raise TypeError("a lazy frame was passed; pass frame.collect()")
    if not isinstance(source, Iterable) and not _has(source, "to_pylist"):
        raise TypeError(f"documents cannot be {type(source).__name__}; pass {_WHAT}")


def _has(source: Any, method: str) -> bool:
    """Whether its type has the method: a frame has its columns as attributes, whatever their names."""
    return callable(getattr(type(source), method, None))


def _names_of(source: Any) -> list[Any] | None:
    if _has(source, "to_pylist") or _has(source, "read_next_batch"):
        schema = getattr(source, "schema", None)  # Arrow's tables have one, its arrays have none
        return None if schema is None else list(schema.names)
    if _has(source, "iter_rows") or _has(source, "itertuples"):
        return list(source.columns)
    return None


def _rows_of(source: Any, names: list[str] | None) -> Iterable[Any]:
    if _has(source, "to_batches"):
        source = source.to_batches(max_chunksize=1000)
        return (row for batch in source for row in batch.to_pylist())
    if _has(source, "read_next_batch"):
        return (row for batch in source for row in batch.to_pylist())
    if _has(source, "to_pylist"):
        return source.to_pylist()  # type: ignore[no-any-return]
    if _has(source, "iter_rows"):
        return source.iter_rows(named=True)  # type: ignore[no-any-return]
    if _has(source, "itertuples") and names is not None:
        rows = source.itertuples(index=False, name=None)
        return (dict(zip(names, values, strict=True)) for values in rows)
    return source  # type: ignore[no-any-return]


def _line(number: int, row: Mapping[str, Any]) -> bytes:
    try:
        try:
            text = _dumps(dict(row))
        except ValueError:  # NaN or infinity somewhere
            text = _dumps(_without_nan(dict(row)))
        return text.encode() + b"\n"
    except UnicodeEncodeError as error:
        raise UnreadableInput(
            f"document {number} cannot be written as JSON: it holds a lone surrogate, which is no text"
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableInput(f"document {number} cannot be written as JSON: {error}") from error


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)


def _without_nan(value: Any) -> Any:
    """The same with NaN as null, which is what it means in a table."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("it holds an infinite number")
        return None if math.isnan(value) else value
    if isinstance(value, str | int | None):
        return value
    return _without_nan(plain(value))


def plain(value: Any) -> Any:
    """A value as one that JSON has.

    Raises:
        TypeError: it is none that could be.
    """
    kind = type(value).__name__
    if kind in _MISSING:
        return None
    if kind in ("datetime64", "timedelta64"):  # numpy's; as Python's they would lose nanoseconds
        return None if str(value) == "NaT" else str(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return None if value.is_nan() else str(value)
    if isinstance(value, datetime.timedelta | uuid.UUID | os.PathLike):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    raise TypeError(f"a value of type {kind} is none of text, number, date, list, mapping or nothing")
