"""Bytes to lines, in chunks of any size, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobs.errors import PayloadTooLarge


def split_lines(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its end) for every line, empty ones included.

    Raises:
        PayloadTooLarge: a line is longer than allowed; it is never held whole.
    """
    number = 0
    rest = b""
    for chunk in chunks:
        *lines, rest_of_chunk = chunk.split(b"\n")
        for line in lines:
            number += 1
            yield number, _checked(rest + line, number, max_line_bytes)
            rest = b""
        rest += rest_of_chunk
        _checked(rest, number + 1, max_line_bytes)
    if rest:
        yield number + 1, _checked(rest, number + 1, max_line_bytes)


def _checked(line: bytes, number: int, max_line_bytes: int) -> bytes:
    if len(line) > max_line_bytes:
        raise PayloadTooLarge(f"line {number} is longer than {max_line_bytes} bytes")
    return line.removesuffix(b"\r")
