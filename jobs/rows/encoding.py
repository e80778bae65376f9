"""Text in any encoding to UTF-8, while it streams."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from jobs.echo import echoed
from jobs.errors import MalformedBody, RequestError
from jobs.rows.content import HEAD_BYTES
from jobs.rows.lines import peek_bytes

#: Said wherever bytes turn out not to be UTF-8.
NAME_THE_ENCODING = "save it as UTF-8, or name its encoding (encoding=cp1252 for many Windows programs)"

_MARKS = (  # UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: These turn text into other text, or take time that grows with its square.
_NOT_ENCODINGS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7"})


def to_utf8(
    chunks: Iterable[bytes], *, encoding: str | None = None, charset: str | None = None
) -> Iterator[bytes]:
    """The same text as UTF-8 without a byte order mark.

    What counts, in this order: `encoding`, the byte order mark, `charset`, the NUL bytes
    that UTF-16 and UTF-32 leave between Latin letters; else it is UTF-8, and is passed on
    unchecked: its readers name the line of a wrong byte.

    Args:
        chunks: The bytes as they were sent.
        encoding: As the caller names it.
        charset: As the Content-Type names it.

    Raises:
        RequestError: there is no such encoding, or the byte order mark contradicts it.
        MalformedBody: the bytes are not text in this encoding; the message names the line.
    """
    head, chunks = peek_bytes(chunks, HEAD_BYTES)
    mark, marked = marked_encoding(head)
    if encoding is not None:
        name = _codec(encoding, "encoding")
        if marked is not None and not marked.startswith(name):
            raise RequestError(
                f"encoding {echoed(encoding)} is not what the byte order mark says: it is {marked}; omit it"
            )
    else:
        name = _codec(charset, "charset") if charset is not None and marked is None else ""
    by_nuls = _by_nuls(head)
    if name in ("", "utf-16", "utf-32") and by_nuls is not None and by_nuls.startswith(name):
        name = by_nuls  # which of its bytes comes first is seen, not guessed
    name = marked or name or "utf-8"
    chunks = _without(chunks, len(mark))
    return chunks if name == "utf-8" else _transcoded(chunks, name)


def marked_encoding(head: bytes) -> tuple[bytes, str | None]:
    """The byte order mark and the encoding it stands for, if there is one."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return mark, name
    return b"", None


def decoded_head(head: bytes) -> str:
    """The beginning of a text in an encoding that can be told, to look at."""
    mark, marked = marked_encoding(head)
    return head[len(mark) :].decode(marked or _by_nuls(head) or "utf-8", errors="replace")


def _codec(name: str, what: str) -> str:
    """The canonical name; `ascii` is read as its superset UTF-8."""
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        info = None
    if info is None or not getattr(info, "_is_text_encoding", True) or info.name in _NOT_ENCODINGS:
        raise RequestError(
            f"{what} {echoed(name)} is unknown; use a name that Python knows: "
            "utf-8, utf-16, cp1252, iso-8859-1, shift_jis, gb18030, ..."
        )
    return {"ascii": "utf-8", "utf-8-sig": "utf-8"}.get(info.name, info.name)


def _by_nuls(head: bytes) -> str | None:
    units = len(head) // 4
    if not units:
        return None
    zeros = [head[place : units * 4 : 4].count(0) / units for place in range(4)]
    pattern = "".join("0" if share > 0.5 else "x" for share in zeros)
    return {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(pattern)


def _without(chunks: Iterable[bytes], num_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[num_bytes:]
        num_bytes = 0  # the mark is in the first chunk: it was peeked at


def _transcoded(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(name)("strict")
    line = 1
    for chunk, is_last in _marking_the_end(chunks):
        try:
            text = decoder.decode(chunk, is_last)
            encoded = text.encode("utf-8")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(name, errors="ignore")
            raise MalformedBody(
                f"line {line + before.count(chr(10))}: not valid {name} ({error.reason}); {NAME_THE_ENCODING}"
            ) from None
        except UnicodeError as error:
            raise MalformedBody(f"line {line}: not valid {name} ({error}); {NAME_THE_ENCODING}") from None
        line += text.count("\n")
        if encoded:
            yield encoded


def _marking_the_end(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for chunk in chunks:
        yield chunk, False
    yield b"", True
