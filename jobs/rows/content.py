"""What bytes are, told by how they begin: archives, spreadsheets and other things that are not text."""

from __future__ import annotations

from jobs.errors import UnsupportedMediaType

GZIP_MAGIC = b"\x1f\x8b"
#: As many bytes as `refuse_binary` and `marked_encoding` want to see.
HEAD_BYTES = 1024

_AS_CSV = "save the sheet as CSV (UTF-8)"
_UNPACK = "unpack it, or pack it with gzip"
_TO_LINES = "write its rows as JSON lines or CSV"
_NOT_TEXT: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive (an Excel .xlsx file is one too)", f"{_AS_CSV}, or unpack the archive"),
    (b"PK\x05\x06", "an empty ZIP archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", _AS_CSV),
    (b"PAR1", "a Parquet file", _TO_LINES),
    (b"ARROW1", "an Arrow file", _TO_LINES),
    (b"FEA1", "a Feather file", _TO_LINES),
    (b"Obj\x01", "an Avro file", _TO_LINES),
    (b"SQLite format 3\x00", "an SQLite database", _TO_LINES),
    (b"\x93NUMPY", "a NumPy array", _TO_LINES),
    (GZIP_MAGIC, "gzip data inside gzip data", "compress it once"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed by xz", _UNPACK),
    (b"\x04\x22\x4d\x18", "compressed by lz4", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"%PDF-", "a PDF", "send its text"),
    (b"{\\rtf1", "an RTF document", "save it as plain text"),
    (b"\x89PNG\r\n", "a PNG image", "send text"),
    (b"\xff\xd8\xff", "a JPEG image", "send text"),
)


def refuse_binary(head: bytes) -> None:
    """Refuses what is not text by its name.

    Args:
        head: The first bytes, once any gzip is off.

    Raises:
        UnsupportedMediaType: with what it is, and what to do.
    """
    for magic, what, remedy in _NOT_TEXT:
        if head.startswith(magic):
            raise UnsupportedMediaType(f"this is {what}, not text: {remedy}")
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":  # `BZh` alone may begin a text
        raise UnsupportedMediaType(f"this is compressed by bzip2: {_UNPACK}")
    if head[257:262] == b"ustar":
        raise UnsupportedMediaType("this is a tar archive, not text: send the files in it one by one")
