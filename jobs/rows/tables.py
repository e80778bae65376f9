"""CSV and its relatives: a header, then rows, exactly as Python's csv reads them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator

from jobs import jsontext
from jobs.errors import MalformedBody, RequestError
from jobs.rows.columns import Columns, Layout
from jobs.rows.encoding import NAME_THE_ENCODING
from jobs.rows.formats import RawRow
from jobs.rows.header import Header, read_header
from jobs.rows.lines import split_keeping_ends

_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_LINE_END = re.compile(r"\r\n|\r|\n")
#: Excel's first line that names the delimiter.
_SEP_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)


def delimiter_of(value: str) -> str:
    r"""The delimiter a caller names: one character, or `tab`, `semicolon`, ...

    Raises:
        RequestError: it cannot be one.
    """
    delimiter = _NAMED_DELIMITERS.get(value.lower(), value)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise RequestError(
            f"delimiter {value[:20]!r} cannot be one: give one character (not a quote or line end), "
            f"or one of {', '.join(n for n in _NAMED_DELIMITERS if n.isalpha())}"
        )
    return delimiter


def read_table(
    chunks: Iterable[bytes],
    *,
    columns: Columns,
    max_row_bytes: int,
    delimiter: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """A header, then rows (RFC 4180: quoted fields may hold line ends, which are kept).

    Blank lines are skipped, and rows of empty cells behind the last row. What is not valid
    CSV ends the reading.

    Args:
        chunks: UTF-8.
        columns: Which column is which field.
        max_row_bytes: Of one row, over all its lines.
        delimiter: None: what a first line `sep=` names, else a comma.
        note: Called with what the caller may want to know.

    Raises:
        RequestError: the header has not the columns asked for.
        MalformedBody: not UTF-8, or no header.
    """
    columns = columns.stripped()
    reader, lines, delimiter = _opened(chunks, max_row_bytes, delimiter)
    try:
        yield from _rows(reader, lines, columns, delimiter, note)
    except csv.Error as error:
        yield _broken_row(lines, delimiter, str(error))
    except _RowTooLong:
        yield _broken_row(lines, delimiter, f"the row is longer than {max_row_bytes} bytes")


def column_names(chunks: Iterable[bytes], *, max_row_bytes: int, delimiter: str | None = None) -> list[str]:
    """The header of a table, whatever its columns are for; empty when there is none."""
    reader, lines, _ = _opened(chunks, max_row_bytes, delimiter)
    try:
        names = next((cells for cells in _records(reader, lines) if any(cells)), [])
    except (csv.Error, _RowTooLong) as error:
        raise MalformedBody(f"the header cannot be read: {error or 'it is too long'}") from None
    return [name.strip() for name in names]


def _opened(
    chunks: Iterable[bytes], max_row_bytes: int, delimiter: str | None
) -> tuple[Iterator[list[str]], _RowLines, str]:
    """What reads the cells of rows, the lines that it reads, and the delimiter that it goes by."""
    lines = _RowLines(split_keeping_ends(chunks, max_line_bytes=max_row_bytes), max_row_bytes)
    first = lines.first()
    if named := _SEP_LINE.fullmatch(first):
        delimiter = delimiter or named.group(1)
        lines.drop_first()
        first = lines.first()
    # The limit of the csv module is per process; our own per row is checked before it.
    csv.field_size_limit(max(csv.field_size_limit(), max_row_bytes))
    delimiter = delimiter or ","
    # A header written `id, "text"` says that spaces after the delimiter are not meant.
    has_spaces = delimiter != " " and re.search(rf'{re.escape(delimiter)} +"', first) is not None
    return (
        csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=has_spaces),
        lines,
        delimiter,
    )


def _rows(
    reader: Iterator[list[str]],
    lines: _RowLines,
    columns: Columns,
    delimiter: str,
    note: Callable[[str], None],
) -> Iterator[RawRow]:
    names = next((cells for cells in _records(reader, lines) if any(cells)), None)
    if names is None:
        return
    header = read_header(names, first_line="".join(lines.row), columns=columns, delimiter=delimiter)
    layout = columns.layout(header.names)
    if layout.note:
        note(layout.note)
    empty_line = None
    for cells in _records(reader, lines):
        if len(cells) > 1 and not any(cells):
            empty_line = empty_line or lines.row_line
            continue
        if empty_line is not None:  # only behind the last row, where Excel leaves them, are they nothing
            yield RawRow(
                empty_line, None, "every cell is empty; leave the row out, or give it a text", "text"
            )
            empty_line = None
        yield _row(lines.row_line, cells, header, layout)


def _records(reader: Iterator[list[str]], lines: _RowLines) -> Iterator[list[str]]:
    """The rows, blank lines left out; `lines` knows where each of them is."""
    lines.begin_row()
    for cells in reader:
        if cells:
            yield cells
        lines.begin_row()


def _row(line: int, cells: list[str], header: Header, layout: Layout) -> RawRow:
    problem = header.misfit(cells)
    if problem is not None:
        return RawRow(line, None, problem)
    row = layout.row(line, header.pairs(cells))
    assert row.fields is not None
    if "params" in row.fields:
        try:
            row.fields["params"] = jsontext.loads(row.fields["params"])
        except jsontext.JSONDecodeError:
            return RawRow(line, None, "the column must hold a JSON object", "params", columns=layout.renamed)
    return row


class _RowTooLong(Exception):
    """More bytes than a row may have."""


class _RowLines:
    """Lines for `csv.reader`, which asks for more inside quotes; remembers those of one row."""

    def __init__(self, lines: Iterator[bytes], max_row_bytes: int) -> None:
        self._lines = lines
        self._max_row_bytes = max_row_bytes
        self._num_lines = 0
        self._ahead: str | None = None
        self._row_bytes = 0
        #: the lines of the row being read
        self.row: list[str] = []
        #: the line it begins on, from 1
        self.row_line = 1

    def first(self) -> str:
        """The first line, which stays to be read; empty when there is none."""
        if self._ahead is None:
            self._ahead = self._decoded()
        return self._ahead or ""

    def drop_first(self) -> None:
        """Goes past the line that `first` gave."""
        self._ahead = None

    def begin_row(self) -> None:
        """The next line is the first of a row."""
        self.row = []
        self._row_bytes = 0
        self.row_line = self._num_lines + (1 if self._ahead is None else 0)

    def __iter__(self) -> _RowLines:
        return self

    def __next__(self) -> str:
        line, self._ahead = self._ahead, None
        if line is None:
            line = self._decoded()
        if line is None:
            raise StopIteration
        self.row.append(line)
        return line

    def _decoded(self) -> str | None:
        line = next(self._lines, None)
        if line is None:
            return None
        self._num_lines += 1
        self._row_bytes += len(line)
        if self._row_bytes > self._max_row_bytes:
            raise _RowTooLong
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            # A broken byte may hide a quote, so the rows after it cannot be trusted either.
            raise MalformedBody(
                f"line {self._num_lines}: not valid UTF-8 at byte {error.start}; {NAME_THE_ENCODING}"
            ) from None


def _broken_row(lines: _RowLines, delimiter: str, what: str) -> RawRow:
    """What ended the reading, at the line where the quote in question opens."""
    text = "".join(lines.row)
    start, end = _last_quoted(text, delimiter)
    if start is None:
        return RawRow(lines.row_line, None, f"not valid CSV: {what}")
    line = lines.row_line + _line_ends(text, start)
    if end is None:
        why = "the quote that opens on this line is not closed"
    else:
        why = (
            f"the quote that opens on this line closes on line {lines.row_line + _line_ends(text, end)}, "
            f"where {text[end + 1 : end + 2]!r} follows it; inside quotes, a quote is written twice"
        )
    return RawRow(line, None, f"not valid CSV: {why} ({what})")


def _last_quoted(text: str, delimiter: str) -> tuple[int | None, int | None]:
    """Where the last sound or the first unsound quoted field opens and closes (None: it does not)."""
    field = re.compile(rf'"[^"]*(?:""[^"]*)*("?)|[^{re.escape(delimiter)}\r\n]*')
    place, start, end = 0, None, None
    while place < len(text):
        found = field.match(text, place)
        assert found is not None
        after = found.end()
        if text[place] == '"':
            start = place
            end = after - 1 if found.group(1) else None
            if text[after : after + 1] not in (delimiter, "\r", "\n", ""):
                break
        place = after + 1
    return start, end


def _line_ends(text: str, end: int) -> int:
    return len(_LINE_END.findall(text, 0, end))
