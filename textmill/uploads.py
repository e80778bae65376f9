"""Input in any accepted shape, as a body that can be sent, and sent again, with flat memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from jobs.rows.encoding import decoded_head
from textmill.contents import may_be_request, read_request
from textmill.documents import Documents
from textmill.errors import UnreadableInput
from textmill.row_options import RowOptions
from textmill.sniffing import (
    CSV,
    FORMS,
    JSON,
    JSONL,
    SNIFF_BYTES,
    TSV,
    TXT,
    looks_like_json,
    sniff,
    unpacked_head,
)

_CHUNK_BYTES = 1 << 18
_IN_MEMORY_BYTES = 1 << 20  # larger spools go to disk

CONTENT_TYPES = {
    JSONL: "application/x-ndjson",
    JSON: "application/x-ndjson",  # the server tells arrays and laid-out objects from lines
    CSV: "text/csv",
    TSV: "text/tab-separated-values",
    TXT: "text/plain; charset=utf-8",
}
_IN_WORDS = {JSON: "JSON documents", CSV: "a table (CSV)", TXT: "text, one document a line"}
_BY_SUFFIX = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSON,
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".txt": TXT,
}

#: A path; or texts; or rows; or a table of pandas, polars or Arrow.
Source = str | os.PathLike[str] | Iterable[Mapping[str, Any] | str] | Any


class Upload:
    """One input, opened. Close it when it is sent."""

    def __init__(
        self,
        file: IO[bytes],
        form: str,
        *,
        options: RowOptions | None = None,
        fields: Mapping[str, Any] | None = None,
        note: str | None = None,
    ) -> None:
        self._file = file
        self.form = form
        self.options = options or RowOptions()
        #: fields of the job that stand in the input itself
        self.fields = dict(fields or {})
        #: what the caller may want to know, such as a format told by how the input begins
        self.note = note
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


def open_upload(source: Source, *, form: str | None = None, options: RowOptions | None = None) -> Upload:
    """Opens a file (by path), or spools rows and texts.

    Args:
        source: A path to JSONL, JSON, CSV, TSV or TXT (each also as .gz); or rows; or texts;
            or a table of pandas, polars or Arrow.
        form: One of `FORMS`, where the file's name does not tell.
        options: How its rows are to be read.

    Raises:
        UnreadableInput: the file is not there, or its format cannot be told.
        TypeError: the source is nothing that holds documents.
    """
    options = options or RowOptions()
    if form is not None and form not in FORMS:
        raise UnreadableInput(f"unknown input format {form!r}; use {', '.join(FORMS)}")
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(source), form, options)
    documents = Documents(source)
    names = documents.columns
    options = options.for_own_lines() if names is None else options.for_table(names)
    return Upload(_spool(documents.lines()), JSONL, options=options)


def spool_stream(stream: IO[bytes], *, form: str | None, options: RowOptions | None = None) -> Upload:
    """Reads a pipe to its end, so that it can be sent again should the server stumble."""
    options = options or RowOptions()
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 -- the upload closes it
    shutil.copyfileobj(stream, file, _CHUNK_BYTES)
    found = form or sniff(_head(file), is_table=options.is_table)
    note = f"read as {_IN_WORDS[found]}; --input-format names another" if form is None else None
    return _upload(file, found, options, note=note)


def _open_file(path: Path, form: str | None, options: RowOptions) -> Upload:
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:
        is_text = not path.suffix or any(character.isspace() for character in str(path))
        hint = " (to send one text, pass it in a list)" if is_text else ""
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}..."
        raise UnreadableInput(f"cannot read {shown}: {_reason(error)}{hint}") from error
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    known = form or _BY_SUFFIX.get(suffix.lower())
    try:
        if not file.seekable():  # a pipe that has a name
            with file:
                return spool_stream(file, form=known, options=options)
        head = unpacked_head(_head(file))  # refuses what is no text
        return _upload(file, known or _unknown(path), options, note=_note_on(path, form, head))
    except BaseException:
        file.close()
        raise


def _note_on(path: Path, form: str | None, head: bytes) -> str | None:
    if form is None and path.suffix.lower() == ".txt" and looks_like_json(head):
        return f"{path.name} is sent line by line as text, though it looks like JSON (--input-format json)"
    return None


def _unknown(path: Path) -> NoReturn:
    raise UnreadableInput(
        f"cannot tell the format of {path.name}: "
        f"name it {', '.join(_BY_SUFFIX)} (or that and .gz), or say --input-format"
    )


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _upload(file: IO[bytes], form: str, options: RowOptions, *, note: str | None = None) -> Upload:
    if form == JSON and may_be_request(decoded_head(unpacked_head(_head(file)))):
        file.seek(0)
        request = read_request(file, encoding=options.encoding)
        if request is not None:
            file.close()
            documents, fields = request
            spooled = _spool(Documents(documents).lines())
            options = options.for_own_lines()
            return Upload(spooled, form, options=options, fields=fields, note=note)
    return Upload(file, form, options=options, note=note)


def _head(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(SNIFF_BYTES)


def _spool(lines: Iterable[bytes]) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 -- the upload closes it
    file.writelines(lines)
    return file
