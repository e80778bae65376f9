"""Input in any accepted shape, as a body that can be sent, and sent again, with flat memory."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from jobs import jsontext
from textmill.errors import UnreadableInput

_CHUNK_BYTES = 1 << 18
_IN_MEMORY_BYTES = 1 << 20  # larger spools go to disk
_SNIFF_BYTES = 1 << 16

JSONL, CSV, TXT = "jsonl", "csv", "txt"
CONTENT_TYPES = {JSONL: "application/x-ndjson", CSV: "text/csv", TXT: "text/plain; charset=utf-8"}
_BY_SUFFIX = {".jsonl": JSONL, ".ndjson": JSONL, ".csv": CSV, ".txt": TXT}

Source = str | os.PathLike[str] | Iterable[Mapping[str, Any] | str]


class Upload:
    """One input, opened. Close it when it is sent."""

    def __init__(self, file: IO[bytes], form: str) -> None:
        self._file = file
        self.form = form
        self.size_bytes = file.seek(0, os.SEEK_END)
        #: called with the bytes sent so far of the try going on, for a progress display
        self.on_sent: Callable[[int], None] = lambda _: None

    @property
    def content_type(self) -> str:
        """The media type to send it as."""
        return CONTENT_TYPES[self.form]

    def body(self) -> Iterator[bytes]:
        """The bytes from the beginning, in chunks."""
        self._file.seek(0)
        sent_bytes = 0
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk
            sent_bytes += len(chunk)
            self.on_sent(sent_bytes)

    def close(self) -> None:
        """Gives back the file."""
        self._file.close()


def open_upload(source: Source, *, form: str | None = None) -> Upload:
    """Opens a file (by path), or spools rows and texts.

    Args:
        source: A path to JSONL, JSON, CSV or TXT; or rows; or texts.
        form: `jsonl`, `csv` or `txt`, where the file's name does not tell.

    Raises:
        UnreadableInput: the file is not there, or its format cannot be told.
    """
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(source), form)
    return Upload(_spool(_rows_as_lines(source)), JSONL)


def spool_stream(stream: IO[bytes], *, form: str | None, text_column: str | None = None) -> Upload:
    """Reads a pipe to its end, so that it can be sent again should the server stumble."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 -- the upload closes it
    shutil.copyfileobj(stream, file, _CHUNK_BYTES)
    file.seek(0)
    return Upload(file, form or sniff(file.read(_SNIFF_BYTES), text_column=text_column))


def sniff(head: bytes, *, text_column: str | None = None) -> str:
    """The format of a nameless input, from how it begins."""
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith("{"):
        return JSONL
    header = next(csv.reader(io.StringIO(text.splitlines()[0])), []) if text else []
    return CSV if text_column is not None or "text" in header else TXT


def _open_file(path: Path, form: str | None) -> Upload:
    try:
        if form is None and path.suffix.lower() == ".json":
            return Upload(_spool(_rows_as_lines(_json_documents(path))), JSONL)
        file = path.open("rb")
    except OSError as error:
        hint = "" if path.suffix else " (to send one text, pass it in a list)"
        raise UnreadableInput(f"cannot read {path}: {error.strerror}{hint}") from error
    known = form or _BY_SUFFIX.get(path.suffix.lower())
    if known is None:
        file.close()
        raise UnreadableInput(
            f"cannot tell the format of {path.name}: "
            f"name it .jsonl, .csv, .txt or .json, or say --input-format"
        )
    return Upload(file, known)


def _json_documents(path: Path) -> list[Any]:
    try:
        value = jsontext.loads(path.read_bytes())
    except jsontext.JSONDecodeError as error:
        raise UnreadableInput(f"{path} is not valid JSON: {error}") from error
    documents = value.get("documents") if isinstance(value, dict) else value
    if not isinstance(documents, list):
        raise UnreadableInput(f'{path}: expected a list of documents, or {{"documents": [...]}}')
    return documents


def _rows_as_lines(rows: Iterable[Any]) -> Iterator[bytes]:
    for row in rows:
        value = {"text": row} if isinstance(row, str) else row
        try:
            yield jsontext.dumps(value) + b"\n"
        except TypeError as error:  # a lone surrogate is one of these too
            raise UnreadableInput(f"a row cannot be written as JSON: {error}") from error


def _spool(lines: Iterable[bytes]) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 -- the upload closes it
    file.writelines(lines)
    return file
