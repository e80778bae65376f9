"""S16: what others wrote is shown on a terminal, never obeyed by it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from jobs.errors import RowError
from textmill.errors import RequestRefused
from textmill.terminal.consoles import SafeConsole
from textmill.terminal.failure import explain
from textmill.terminal.files import Output
from textmill.terminal.foreign import ShownBytes, shown

EVIL = "te\x1b]0;PWNED\x07xt\x1b[2J\x9b2J\x7f\u202eback"
HARMFUL = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u061c\u200e\u200f\u202a\u202e\u2066\u2069"} - {
    "\n", "\t",
}  # fmt: skip


def printed(*what: Any, is_terminal: bool = True, is_data: bool = False) -> str:
    stream = io.StringIO()
    console = SafeConsole(
        file=stream, force_terminal=is_terminal, is_data=is_data, width=200, color_system=None
    )
    console.print(*what, markup=False, soft_wrap=True)
    return stream.getvalue()


def table_of(*cells: str) -> Table:
    table = Table()
    for cell in cells:
        table.add_column(cell)
    table.add_row(*map(Text, cells))
    return table


@pytest.mark.parametrize("what", [EVIL, Text(EVIL), table_of(EVIL, "plain")])
def test_s16_nothing_printed_moves_a_cursor(what: Any) -> None:
    """S16: column names, field names, answers and cells reached the terminal raw."""
    for is_terminal in (True, False):
        text = printed(what, is_terminal=is_terminal)
        assert not HARMFUL & set(text)
        assert "\\x1b]0;PWNED" in text
        if not isinstance(what, Table):  # a column has a width
            assert "\\x9b2J" in text
            assert "\\u202e" in text


def test_s16_a_refusal_of_the_server_is_printed_so() -> None:
    rows = (RowError(line=2, field=EVIL, message=EVIL),)
    error = RequestRefused(422, "Invalid", f"no column {EVIL}", rows=rows)
    stream = io.StringIO()
    explain(error, SafeConsole(file=stream, force_terminal=True, width=200, color_system=None))
    assert not HARMFUL & set(stream.getvalue())
    assert stream.getvalue().count("PWNED") == 3


def test_s16_what_was_asked_for_is_exact_anywhere_but_on_a_terminal() -> None:
    assert "\x1b]0;PWNED" in printed(EVIL, is_terminal=False, is_data=True)
    assert not HARMFUL & set(printed(EVIL, is_terminal=True, is_data=True))


class Stdout(io.TextIOWrapper):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_s16_results_to_a_terminal_are_shown_and_to_a_pipe_exact(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    """S16: `textmill results` wrote the bytes of others to the terminal."""
    stdout = Stdout(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    data = f'id,text\r\n1,"{EVIL}"\r\n'.encode()
    with Output("-") as output:
        for place in range(len(data)):
            output.write(data[place : place + 1])
    written = stdout.buffer.getvalue()  # type: ignore[attr-defined]
    if is_terminal:
        assert written.decode() == f'id,text\n1,"{shown(EVIL)}"\n'
        assert not HARMFUL & set(written.decode())
    else:
        assert written == data


def test_s16_results_in_a_file_are_exact(tmp_path: Path) -> None:
    with Output(str(tmp_path / "r.csv")) as output:
        output.write(EVIL.encode())
        output.finish()
    assert (tmp_path / "r.csv").read_text() == EVIL


@given(st.text(), st.lists(st.integers(1, 5)))
def test_pieces_are_shown_as_the_whole(text: str, sizes: list[int]) -> None:
    data = text.encode("utf-8", errors="surrogatepass")
    taker, found = ShownBytes(), b""
    rest = data
    for size in sizes:
        found, rest = found + taker.take(rest[:size]), rest[size:]
    found += taker.take(rest) + taker.rest()
    assert found.decode() == shown(data.decode(errors="replace").replace("\r\n", "\n"))
    assert not HARMFUL & set(found.decode())


@given(st.text())
def test_harmless_text_is_left_alone(text: str) -> None:
    if not HARMFUL & set(text) and not {"\u2028", "\u2029"} & set(text):
        assert {shown(text)} <= {text, shown(text)}
        assert shown(json.dumps(text)) == json.dumps(text)
