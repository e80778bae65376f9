"""gzip taken off a stream, with a bound on what it becomes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from jobs.errors import MalformedBody, PayloadTooLarge

_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 1 << 18


def gunzip(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    """The bytes inside, in pieces of at most 256 KiB; several gzip files in a row are one.

    Raises:
        PayloadTooLarge: they become more than `max_bytes`; they are never held whole.
        MalformedBody: damaged or cut off.
    """
    total = 0
    for piece in _pieces(chunks):
        total += len(piece)
        if total > max_bytes:
            raise PayloadTooLarge(f"unpacked, the body is larger than {max_bytes} bytes")
        yield piece


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP_FORMAT)
    for chunk in chunks:
        data = chunk
        while data:
            if unpacker.eof:
                data = data.lstrip(b"\0")  # padding between files, as tapes leave it
                if not data:
                    break
                unpacker = zlib.decompressobj(_GZIP_FORMAT)
            yield _unpacked(unpacker, data)
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    while not unpacker.eof and (piece := _unpacked(unpacker, b"")):
        yield piece
    if not unpacker.eof:
        raise MalformedBody("the gzip data ends in the middle: was the file cut off?")


def _unpacked(unpacker: zlib._Decompress, data: bytes) -> bytes:
    try:
        return unpacker.decompress(data, _PIECE_BYTES)
    except zlib.error as error:
        raise MalformedBody(f"the gzip data is damaged: {error}") from None
