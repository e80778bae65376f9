"""Bytes to lines, in chunks of any size, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from jobs.errors import PayloadTooLarge


def split_lines(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    r"""(line number from 1, line without its end) for every line, empty ones included.

    Only \n and \r\n end a line: U+2028, \x0b, \x1c and a lone \r are text.

    Raises:
        PayloadTooLarge: a line is longer than allowed; it is never held whole.
    """
    number = 0
    rest = bytearray()
    for chunk in chunks:
        *lines, rest_of_chunk = chunk.split(b"\n")
        for line in lines:
            number += 1
            if rest:
                line = bytes(rest) + line
                rest.clear()
            _check(line, number, max_line_bytes)
            yield number, line.removesuffix(b"\r")
        rest += rest_of_chunk
        _check(rest, number + 1, max_line_bytes)
    if rest:
        yield number + 1, bytes(rest)


def split_keeping_ends(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[bytes]:
    r"""Lines with their ends, which are \n, \r\n or \r: what `open(newline="")` gives csv.

    Raises:
        PayloadTooLarge: a line is longer than allowed; it is never held whole.
    """
    number = 0
    rest = b""
    for chunk in chunks:
        *lines, rest = _halves(rest, chunk)
        for line in lines:
            number += 1
            _check(line, number, max_line_bytes)
            yield line
        _check(rest, number + 1, max_line_bytes)
    if rest:
        yield rest


def _halves(rest: bytes, chunk: bytes) -> list[bytes]:
    """The complete lines, then what is not known to be complete."""
    lines = (rest + chunk).splitlines(keepends=True)
    # A \r at the very end may be half of a \r\n.
    if lines and lines[-1].endswith(b"\n"):
        lines.append(b"")
    return lines or [b""]


def peek(chunks: Iterable[bytes], is_enough: Callable[[bytes], bool]) -> tuple[bytes, Iterator[bytes]]:
    """Looks at the beginning of a stream.

    Returns:
        The bytes read until they were enough, and all chunks, those read among them.
    """
    iterator = iter(chunks)
    head = b""
    for chunk in iterator:
        head += chunk
        if is_enough(head):
            break
    return head, chain([head] if head else [], iterator)


def peek_bytes(chunks: Iterable[bytes], num_bytes: int) -> tuple[bytes, Iterator[bytes]]:
    """As `peek`, until there are so many bytes or the stream is over."""
    return peek(chunks, lambda head: len(head) >= num_bytes)


def _check(line: bytes | bytearray, number: int, max_line_bytes: int) -> None:
    if len(line) > max_line_bytes:
        raise PayloadTooLarge(f"line {number} is longer than {max_line_bytes} bytes")
