"""How people name their jobs on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_server import FakeServer
from tests.unit.textmill.conftest import Run, settle_all
from textmill.client import Textmill
from textmill.errors import AmbiguousJob, NoSuchJob


def submitted(client: Textmill, *names: str | None) -> list[str]:
    return [client.submit(["a"], task="sentiment", name=name, tags=("t",)).id for name in names]


def test_a_job_is_found_by_id_beginning_name_or_last(client: Textmill, server: FakeServer) -> None:
    first, second = submitted(client, "nightly", None)
    assert client.find("nightly").id == first
    assert client.find("last").id == second
    assert client.find(first[:-1]).id == first
    asked = len(server.requests)
    assert client.find(second).id == second
    assert len(server.requests) == asked  # a whole id is taken as it is


def test_of_several_jobs_of_one_name_the_newest_is_meant_where_nothing_is_lost(client: Textmill) -> None:
    older, newer = submitted(client, "nightly", "nightly")
    assert client.find("nightly").id == newer
    with pytest.raises(AmbiguousJob, match=f"several jobs are called 'nightly': {newer}, {older}; name one"):
        client.find("nightly", is_unique=True)


def test_a_beginning_of_several_ids_names_some_and_is_refused(client: Textmill) -> None:
    jobs = submitted(client, *[None] * 5)[::-1]
    with pytest.raises(AmbiguousJob) as refused:
        client.find("job_")
    assert all(job in str(refused.value) for job in jobs[:3])
    assert str(refused.value).endswith("...; name one of them")


@pytest.mark.parametrize("reference", ["last", "nightly", "job_00"])
def test_what_no_job_is_called_is_said(client: Textmill, reference: str) -> None:
    with pytest.raises(NoSuchJob):
        client.find(reference)


def test_commands_take_a_name_and_only_a_unique_one_where_something_ends(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on_poll = settle_all
    for _ in range(2):
        assert run("submit", str(rows), "--name", "nightly", "--tag", "a", "--tag", "b", "--wait") == 0
    assert run("status", "nightly") == 0
    shown = capsys.readouterr().out
    assert "nightly" in shown
    assert "a, b" in shown
    for command in ("cancel", "retry", "delete"):
        assert run(command, "nightly") == 2
        assert "several jobs are called 'nightly'" in capsys.readouterr().err
    assert run("delete", "last") == 0
    assert run("delete", "nightly") == 0
    assert not server.jobs


def test_lists_show_names_where_there_are_some(
    run: Run, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("submit", str(rows))
    capsys.readouterr()
    run("jobs")
    assert "NAME" not in capsys.readouterr().out
    run("submit", str(rows), "--name", "x" * 50)
    run("jobs", "--name", "x" * 50)
    assert "x" * 39 + "…" in capsys.readouterr().out
