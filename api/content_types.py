"""What a Content-Type, a Content-Encoding or a file's name says of the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message

from jobs.echo import echoed
from jobs.errors import UnsupportedMediaType
from jobs.rows.reading import JSON, TABLE, TEXT

TABS = "tabs"
FORMATS = {
    "application/x-ndjson": JSON,
    "application/ndjson": JSON,
    "application/jsonl": JSON,
    "application/x-jsonlines": JSON,
    "text/csv": TABLE,
    "text/tab-separated-values": TABS,
    "text/plain": TEXT,
}
SUFFIXES = {
    ".jsonl": JSON,
    ".ndjson": JSON,
    ".json": JSON,
    ".csv": TABLE,
    ".tsv": TABS,
    ".tab": TABS,
    ".txt": TEXT,
}
_WHOLE = ("application/json", "multipart/form-data")


@dataclass(frozen=True)
class Declared:
    """A media type, its charset, and whether gzip is around it."""

    kind: str
    charset: str | None
    is_gzip: bool = False

    @classmethod
    def of(cls, content_type: str, content_encoding: str = "") -> Declared:
        """What the two headers say.

        Raises:
            UnsupportedMediaType: a coding that is not read here.
        """
        header = Message()
        header["Content-Type"] = content_type
        charset = header.get_content_charset()
        kind = content_type.partition(";")[0].strip().lower()
        codings = {c.strip().lower() for c in content_encoding.split(",")} - {"", "identity"}
        if not codings <= {"gzip", "x-gzip"} or content_encoding.lower().count("gzip") > 1:
            raise UnsupportedMediaType(
                f"content encoding {echoed(content_encoding)} is not accepted; use gzip, or none"
            )
        return cls(kind, charset, is_gzip=bool(codings))

    @property
    def is_form(self) -> bool:
        """Whether fields and a file come together."""
        return self.kind == "multipart/form-data"

    def check(self) -> None:
        """Refuses what no submission may be.

        Raises:
            UnsupportedMediaType: with what it may be.
        """
        if self.is_form and self.is_gzip:
            raise UnsupportedMediaType("a form is not accepted compressed; compress the file in it")
        if self.kind not in (*_WHOLE, *FORMATS):
            raise UnsupportedMediaType(
                f"content type {echoed(self.kind or 'none')} is not accepted; use "
                "application/json, application/x-ndjson, text/csv, text/tab-separated-values, text/plain or "
                "multipart/form-data (gzip data under the type of what is inside)"
            )
