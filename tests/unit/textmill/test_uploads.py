"""Files and pipes as they are sent."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from tests.support.fake_server import FakeServer, problem
from tests.unit.textmill.conftest import Run
from textmill.client import Textmill
from textmill.contents import read_piped_text
from textmill.errors import UnreadableInput
from textmill.sniffing import sniff

NDJSON, CSV, TSV, TXT = (
    "application/x-ndjson",
    "text/csv",
    "text/tab-separated-values",
    "text/plain; charset=utf-8",
)


def pipe(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("rows.json", b'\xef\xbb\xbf[{"text": "a"}]', NDJSON),
        ("rows.json", b'{"text": "a"}\n{"text": "b"}\n', NDJSON),
        (
            "rows.json",
            b'{\n "text": "a",\n "metadata": {"documents": 1}\n}\n',
            NDJSON,
        ),
        ("rows.tsv", b"text\nb\n", TSV),
        ("rows.CSV.GZ", gzip.compress(b"text\nb\n", mtime=0), CSV),
    ],
)
def test_a_file_is_sent_as_it_is(
    client: Textmill, server: FakeServer, tmp_path: Path, name: str, body: bytes, content_type: str
) -> None:
    """H6: `.json` with a mark, JSON lines in `.json`; the server tells which."""
    (tmp_path / name).write_bytes(body)
    client.submit(tmp_path / name)
    request = server.requests[0]
    assert (request.headers["Content-Type"], request.content) == (content_type, body)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_object_of_a_request_is_its_documents_and_its_fields(
    client: Textmill, server: FakeServer, tmp_path: Path, indent: int | None, encoding: str
) -> None:
    """W22, a relative: its task was ignored."""
    number = 123456789012345678901
    value = {
        "task": "qa",
        "params": {"top_k": 2},
        "documents": [{"text": "a", "metadata": {"n": number}}, "b"],
    }
    (tmp_path / "job.json").write_text(json.dumps(value, indent=indent), encoding=encoding)
    client.submit(tmp_path / "job.json")
    assert server.requests[0].content == b'{"text":"a","metadata":{"n":%d}}\n{"text":"b"}\n' % number
    query = server.requests[0].url.params
    assert (query["task"], json.loads(query["params"])) == ("qa", {"top_k": 2})
    with pytest.raises(UnreadableInput, match=r"names another task \('qa'\)"):
        client.submit(tmp_path / "job.json", task="sentiment")


@pytest.mark.parametrize(
    ("body", "message"),
    [(b'{"documents": 3}', "must be an array"), (b"\x89PNG\r\n", "PNG")],
)
def test_a_json_file_that_is_none_is_refused_before_anything_is_sent(
    client: Textmill, server: FakeServer, tmp_path: Path, body: bytes, message: str
) -> None:
    (tmp_path / "job.json").write_bytes(body)
    with pytest.raises(UnreadableInput, match=message):
        client.submit(tmp_path / "job.json")
    assert server.requests == []


def test_a_pipe_with_a_name_is_read_like_a_file(client: Textmill, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[b'{"text": "a"}\n'])
    writer.start()
    client.submit(path)
    writer.join()
    assert server.requests[0].content == b'{"text": "a"}\n'


@pytest.mark.parametrize("text", ["A warm, funny film.", "x" * 5000, "a\0b", "two\nlines"])
def test_a_text_in_place_of_a_path_is_refused_with_a_hint(client: Textmill, text: str) -> None:
    """W23: a single string is a path."""
    with pytest.raises(UnreadableInput, match="to send one text, pass it in a list"):
        client.submit(text)


def test_json_in_a_text_file_is_sent_as_its_name_says_and_said_aloud(
    run: Run, server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """W22, a relative: a misnamed file."""
    (tmp_path / "rows.txt").write_text('[\n{"text":"Great film"}\n]\n')
    assert run("submit", "rows.txt") == 0
    assert server.requests[0].headers["Content-Type"] == TXT
    assert "line by line as text, though it looks like JSON (--input-format json)" in capsys.readouterr().err
    assert run("submit", "rows.txt", "--input-format", "json") == 0
    assert server.requests[1].headers["Content-Type"] == NDJSON


def test_a_refusal_says_the_flag_to_use(
    run: Run, server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.csv").write_text("id;review\n")
    server.trouble = [
        problem(422, "Invalid request", "no column 'text' ...: say so with delimiter=semicolon")
    ]
    assert run("submit", "r.csv") == 2
    assert "On the command line: --delimiter semicolon" in capsys.readouterr().err
    server.trouble = [problem(422, "Invalid request", "name one of them with text_column")]
    assert run("submit", "r.csv") == 2
    assert "On the command line: --text-column NAME" in capsys.readouterr().err


# -- stdin -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b'[\n{"text":"Great film"}\n]\n', "json"),
        (b'["a", "b"]', "json"),
        (b'{\n  "text": "a"\n}', "json"),
        ('{"text": "a"}'.encode("utf-16"), "json"),
        ('{"text": "a"}'.encode("utf-16-le"), "json"),
        (gzip.compress(b'{"text": "a"}', mtime=0), "json"),
        (b"[Music] Hello\n", "txt"),
        (b"{name}, hello\n", "txt"),
        (b"[1] A reference.\n", "txt"),
        (b"sep=;\nid;review\n", "csv"),
        (b"id;text\n1;a\n", "csv"),  # the server names the delimiter
        (b"Hello, world\nGoodbye, moon\n", "txt"),
        (b"One, two, three.\nFour, five, six.\n", "txt"),
    ],
)
def test_a_nameless_input_is_told_with_care(head: bytes, form: str) -> None:
    """W22: `[` was a document."""
    assert sniff(head) == form


def test_a_table_without_a_known_text_is_never_sent_as_lines_of_text(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """W22, a relative: the rows of a table were documents."""
    pipe(monkeypatch, b"id,product,review\n1,film,good\n2,cafe,bad\n")
    assert run("submit", "-", "-t", "sentiment") == 2
    assert "--text-column" in capsys.readouterr().err
    assert server.requests == []


@pytest.mark.parametrize("form", ["json", "txt", "csv"])
def test_what_stdin_was_taken_for_is_said(
    run: Run,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    body, words = {
        "json": (b'[{"text":"Great film"}]', "JSON documents"),
        "txt": (b"Great film\n", "text, one document a line"),
        "csv": (b"text\nGreat film\n", "a table (CSV)"),
    }[form]
    pipe(monkeypatch, body)
    assert run("submit", "-", "-t", "sentiment") == 0
    assert f"note: read as {words}; --input-format" in capsys.readouterr().err
    pipe(monkeypatch, body)
    assert run("submit", "-", "-t", "sentiment", "--input-format", form) == 0
    assert "read as" not in capsys.readouterr().err


def test_options_of_the_rows_travel_as_query_parameters(run: Run, server: FakeServer, tmp_path: Path) -> None:
    """H7, H8: delimiter, encoding, and a role for every column."""
    (tmp_path / "r.csv").write_text("a;b\n")
    flags = ("--text-column", "b", "--id-column", "i", "--context-column", "c", "--column", "model=m")
    assert run("submit", "r.csv", *flags, "--delimiter", ";", "--encoding", "cp1252") == 0
    assert dict(server.requests[0].url.params) == {
        "text_column": "b",
        "id_column": "i",
        "context_column": "c",
        "model_column": "m",
        "delimiter": ";",
        "encoding": "cp1252",
    }


@pytest.mark.parametrize(
    "flags",
    [
        ("--column", "nonsense=a"),
        ("--column", "model"),
        ("--column", "model=a", "--column", "model=b"),
        ("--column", "text=a", "--text-column", "b"),
    ],
)
def test_wrong_roles_are_wrong_usage(
    run: Run, server: FakeServer, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    (tmp_path / "r.csv").write_text("text\na\n")
    assert run("submit", "r.csv", *flags) == 2
    assert server.requests == []


# -- one text ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piped", "text"),
    [
        (b"Once upon a time\n", "Once upon a time"),
        (b"Once upon a time\r\n", "Once upon a time"),
        (b"Once upon a time", "Once upon a time"),
        (b"Two lines\r\nand an empty one\n\n", "Two lines\r\nand an empty one\n"),
        ("Es war einmal, sch\u00f6n\r\n".encode("utf-16"), "Es war einmal, sch\u00f6n"),
        (b"  kept \t\n", "  kept \t"),
    ],
)
def test_the_shells_last_line_end_is_no_part_of_the_text(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch, piped: bytes, text: str
) -> None:
    """H14: the newline of `echo` became part of the prompt."""
    pipe(monkeypatch, piped)
    server.on_poll = lambda job: job.settle(0)
    assert run("run", "-", "-t", "generation") == 0
    assert json.loads(server.requests[0].content) == {"text": text}


def test_a_pipe_that_is_no_text_is_refused() -> None:
    with pytest.raises(UnreadableInput, match="not valid UTF-8"):
        read_piped_text(io.BytesIO(b"caf\xe9\n"))
