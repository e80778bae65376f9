"""`textmill keys` and `textmill projects` against the real API."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.api.conftest import Api
from textmill.cli import main
from textmill.client import Textmill
from textmill.commands.server import Server

ADMIN = "z" * 16
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command with a key; its exit code, and what it wrote to stdout and stderr."""
    api = make_api(admin_key=ADMIN)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, key: str | None = ADMIN) -> tuple[int, str, str]:
        client = Textmill("http://testserver", key, transport=api.http._transport)
        monkeypatch.setattr(Server, "connect", lambda self: client)
        monkeypatch.setattr(sys, "argv", ["textmill", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, written.out, written.err

    return run


def test_a_key_is_made_listed_rotated_and_revoked(run: Run) -> None:
    assert run("projects", "create", "reviews")[:2] == (0, "reviews\n")
    code, made, said = run("keys", "create", "ci", "--project", "reviews")
    key = made.strip()
    assert code == 0
    assert "not shown again" in said
    listed = json.loads(run("keys", "list", "--project", "reviews", "--json")[1])
    assert [(entry["name"], entry["live"]) for entry in listed] == [("ci", True)]
    assert key.startswith(listed[0]["prefix"])
    assert run("jobs", "--json", key=key)[:2] == (0, "[]\n")
    _, again, _ = run("keys", "rotate", listed[0]["id"])
    assert run("jobs", key=key)[0] == 2
    assert run("jobs", key=again.strip())[0] == 0
    table = run("keys", "list")[1]
    assert again.strip() not in table
    states = [line.split()[4] for line in table.splitlines() if " ci " in line]
    assert states == ["revoked", "live"]
    new_id = next(line.split()[0] for line in table.splitlines() if " live " in line and " ci " in line)
    assert run("keys", "revoke", new_id)[0] == 0
    code, _, said = run("jobs", key=again.strip())
    assert code == 2
    assert "textmill login" in said
    assert "reviews" in run("projects", "list")[1]


def test_an_administrators_key_is_made_and_others_may_not_make_any(run: Run) -> None:
    made = json.loads(run("keys", "create", "second", "--admin", "--json")[1])
    assert made["admin"] is True
    assert made["project"] is None
    member = run("keys", "create", "ci", key=made["key"])[1].strip()
    code, out, said = run("keys", "create", "more", key=member)
    assert (code, out) == (2, "")
    assert "administrator" in said
    assert run("keys", "revoke", "key_unknown")[0] == 2


def test_an_administrators_list_says_whose_each_job_is(run: Run, tmp_path: Path) -> None:
    run("projects", "create", "reviews")
    key = run("keys", "create", "ci", "--project", "reviews")[1].strip()
    rows = tmp_path / "rows.txt"
    rows.write_text("good\n")
    ids = [run("submit", str(rows), "--task", "sentiment", key=by)[1].strip() for by in (key, ADMIN)]
    lines = run("jobs")[1].splitlines()
    assert lines[0].split()[-1] == "PROJECT"
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:]] == [
        (ids[1], "default"),
        (ids[0], "reviews"),
    ]
    assert "PROJECT" not in run("jobs", key=key)[1]
    assert run("jobs", "--project", "reviews", "--json")[1].count("job_") == 1


def test_usage_and_limits_are_shown(run: Run) -> None:
    run("projects", "create", "reviews")
    limited = run("projects", "limit", "reviews", "queued_documents=50", "requests_per_minute=600")
    assert limited[:2] == (0, "queued_documents=50 requests_per_minute=600\n")
    assert run("projects", "limit", "reviews", "colour=1")[0] == 2
    key = run("keys", "create", "ci", "--project", "reviews")[1].strip()
    assert "nothing was used" in run("usage", key=key)[2]
    shown = run("usage", "--by", "day,key", "--from", "2026-01-01", key=key)[1]
    assert "queued documents: 0 of 50" in shown
    assert "requests per minute: 600" in shown
