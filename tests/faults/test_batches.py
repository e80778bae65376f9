"""The API killed while a file or a batch comes in: nothing half is left, and a second try is whole."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

from openai import OpenAIError

from tests.support.lone_api import LoneApi
from tests.support.openai_client import as_file, line, stock_client
from tests.support.waiting import wait_until

#: A dead arrival is swept after two minutes; a test moves it into the past instead of waiting.
_LONG_AGO_SECONDS = 1000


def ask(folder: Path, question: str) -> int:
    with closing(sqlite3.connect(folder / "data" / "textmill.db", timeout=30)) as connection:
        found = connection.execute(question).fetchone()
        connection.commit()
        return int(found[0]) if found else 0


def kill_while(folder: Path, call: object, has_begun: str) -> None:
    """Makes the call, and kills the API as soon as the ledger says that it is half done."""
    with LoneApi(folder, sweep_seconds=1) as api:
        client = stock_client(api.url)

        def run() -> None:
            with suppress(OpenAIError):
                call(client)  # type: ignore[operator]

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: ask(folder, has_begun) > 0, timeout_seconds=120, what="it is half way")
        api.kill()
        thread.join(60)
        assert not thread.is_alive()


def test_a_file_whose_upload_was_killed_is_not_there(tmp_path: Path) -> None:
    content = b"x" * (120 << 20)
    kill_while(
        tmp_path,
        lambda client: client.files.create(file=("big.jsonl", content), purpose="batch"),
        "SELECT count(*) FROM file_block",
    )
    assert ask(tmp_path, "SELECT count(*) FROM file WHERE stage = 'here'") == 0, (
        "killed too late: make it larger"
    )
    ask(tmp_path, f"UPDATE file SET created_at = created_at - {_LONG_AGO_SECONDS}")
    with LoneApi(tmp_path, sweep_seconds=1) as api:
        client = stock_client(api.url)
        assert client.files.list().data == []
        count = "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM file_block)"
        wait_until(lambda: ask(tmp_path, count) == 0, timeout_seconds=60, what="what came in is swept")
        again = client.files.create(file=("small.jsonl", b"{}"), purpose="batch")
        assert client.files.content(again.id).content == b"{}"


def test_a_batch_whose_making_was_killed_is_not_there_and_a_second_one_is_whole(tmp_path: Path) -> None:
    lines = [line(f"{n}", "/v1/sentiment", {"input": f"text {n}"}) for n in range(30_000)]
    with LoneApi(tmp_path) as api:
        file_id = stock_client(api.url).files.create(file=as_file(lines), purpose="batch").id
    asked = {"input_file_id": file_id, "endpoint": "/v1/sentiment", "completion_window": "24h"}
    kill_while(
        tmp_path,
        lambda client: client.batches.create(**asked),
        "SELECT count(*) FROM job WHERE status = 'arriving'",
    )
    assert ask(tmp_path, "SELECT count(*) FROM job WHERE status = 'queued'") == 0, (
        "killed too late: make it larger"
    )
    ask(tmp_path, f"UPDATE job SET created_at = created_at - {_LONG_AGO_SECONDS}")
    with LoneApi(tmp_path, sweep_seconds=1) as api:
        client = stock_client(api.url)
        assert client.batches.list().data == []
        count = "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM document) + (SELECT count(*) FROM batch)"
        wait_until(lambda: ask(tmp_path, count) == 0, timeout_seconds=60, what="what came in is swept")
        batch = client.batches.create(**asked)  # type: ignore[arg-type]
        assert batch.request_counts is not None
        assert batch.request_counts.total == 30_000
        assert [each.id for each in client.batches.list()] == [batch.id]
