"""Bytes to lines, whatever the chunks."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import PayloadTooLarge
from jobs.rows.lines import split_keeping_ends, split_lines
from jobs.rows.reading import TEXT
from tests.support.rows import CUTS, LIMIT, chunks_of, rows_of


@given(st.lists(st.binary(max_size=20)), CUTS)
def test_lines_do_not_depend_on_where_the_chunks_end(lines: list[bytes], cuts: list[int]) -> None:
    clean = [line.replace(b"\n", b"").replace(b"\r", b"") for line in lines]
    body = b"".join(line + (b"\r\n" if n % 2 else b"\n") for n, line in enumerate(clean))
    found = list(split_lines(chunks_of(body, cuts), max_line_bytes=LIMIT))
    assert found == list(enumerate(clean, start=1))


@given(st.text("ab\r\n\x0b\x1c\x85\u2028", max_size=40), CUTS)
def test_lines_with_their_ends_are_those_of_a_file_opened_with_newline_empty(
    text: str, cuts: list[int]
) -> None:
    found = split_keeping_ends(chunks_of(text.encode(), cuts), max_line_bytes=LIMIT)
    assert [line.decode() for line in found] == list(io.StringIO(text, newline=""))


@pytest.mark.parametrize("split", [split_lines, split_keeping_ends])
def test_a_line_that_is_too_long_is_refused_before_it_is_held(split: Callable[..., Iterable[object]]) -> None:
    def endless() -> Iterable[bytes]:
        yield b"short\n"
        for _ in range(5):
            yield b"x" * 400
        pytest.fail("the whole line was read")

    with pytest.raises(PayloadTooLarge, match="line 2"):
        list(split(endless(), max_line_bytes=LIMIT))


def test_only_newlines_end_a_line_of_text() -> None:
    """W19, its relatives: U+2028, VT, FS and a lone CR are text."""
    body = "one\u2028two\x0bthree\x1cfour\rfive\r\nsix\r".encode()
    texts = [row.fields["text"] for row in rows_of(TEXT, body) if row.fields]
    assert texts == ["one\u2028two\x0bthree\x1cfour\rfive", "six\r"]


def test_blank_lines_are_skipped_and_each_document_keeps_its_line() -> None:
    """H9: alignment of a text file with blank lines was lost."""
    body = b"\xef\xbb\xbffirst\n\n \t\nfourth\r\n\xe3\x80\x80\nsixth"
    lines = body.decode("utf-8-sig").split("\n")
    found = [row.fields for row in rows_of(TEXT, body) if row.fields]
    assert [fields["metadata"]["line"] for fields in found] == [1, 4, 6]
    for fields in found:
        assert fields["text"] == lines[fields["metadata"]["line"] - 1].rstrip("\r")
