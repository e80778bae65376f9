"""What the console says of jobs, results and time: words and bars, without a page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from api.console import words
from api.console.feed import Feed, Follower
from api.console.progress import segments
from api.console.result_view import ResultView
from api.console.throughput import Throughput
from api.rates import Rates
from api.schemas import CountsOut
from jobs.listing import SentDocument
from jobs.records import Counts, DocumentStatus, Job, JobStatus, Priority, ResultRow, Task


def counts(total: int, **parts: int) -> CountsOut:
    names = ("queued", "running", "succeeded", "failed", "cancelled", "expired")
    return CountsOut(total=total, **{name: parts.get(name, 0) for name in names})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.25, "250 ms"),
        (41, "41 s"),
        (60, "1 min"),
        (1600, "26 min 40 s"),
        (6390, "1 h 46 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_all_and_nothing_are_said_only_where_they_are_true() -> None:
    assert words.percent(999_999, 1_000_000) == "99.9 %"
    assert words.percent(1, 1_000_000) == "0.1 %"
    assert words.percent(676, 1000) == "67.6 %"
    assert (words.percent(0, 7), words.percent(7, 7)) == ("0 %", "100 %")


def test_three_failures_in_a_million_can_be_seen_and_no_bar_is_longer_than_its_whole() -> None:
    (done, failed) = segments(counts(1_000_000, succeeded=999_997, failed=3))
    assert failed.width == 0.7
    assert failed.begin + failed.width <= 100
    parts = segments(counts(10, succeeded=3, failed=1, running=2, cancelled=1))
    assert [(part.kind, part.begin, part.width) for part in parts] == [
        ("done", 0, 30), ("fail", 30, 10), ("run", 40, 20), ("gone", 60, 10),
    ]  # fmt: skip
    assert done.kind == "done"


def result(task: Task, output: dict[str, Any], sent: SentDocument) -> ResultView:
    row = ResultRow(
        seq=6, custom_id="a", status=DocumentStatus.SUCCEEDED, task=task, model="m", output=output, error_code=None,
        error_message=None, input_tokens=3, output_tokens=0, truncated=False, metadata=None, provenance=None,
    )  # fmt: skip
    return ResultView(row, sent)


def test_an_answer_is_marked_in_its_context_by_characters() -> None:
    context = "😀 " * 400 + "It was Ada." + " x" * 400
    start = context.index("Ada")
    sent = SentDocument(text="Who?", num_characters=4, context=context, messages=None)
    view = result(Task.QA, {"answer": "Ada", "score": 0.9, "start": start, "end": start + 3}, sent)
    marked = view.marked
    assert marked is not None
    assert (marked.before[0], marked.before[-4:], marked.answer, marked.behind[:1]) == (
        "…",
        "was ",
        "Ada",
        ".",
    )
    moved = result(Task.QA, {"answer": "Ada", "score": 0.9, "start": start + 1, "end": start + 4}, sent)
    assert moved.marked is None, "what does not stand there is not marked"


def test_paragraphs_stand_beside_their_translations_where_they_match() -> None:
    sent = SentDocument(text="One.\n\nTwo.", num_characters=10, context=None, messages=None)
    assert result(Task.TRANSLATION, {"text": "Eins.\n\nZwei."}, sent).pairs == [
        ("One.", "Eins."),
        ("Two.", "Zwei."),
    ]
    assert result(Task.TRANSLATION, {"text": "Eins. Zwei."}, sent).pairs == [("One.\n\nTwo.", "Eins. Zwei.")]


def test_labels_come_surest_first_and_an_output_of_no_known_form_as_it_is() -> None:
    sent = SentDocument(text="x", num_characters=1, context=None, messages=None)
    view = result(Task.SENTIMENT, {"label": "B", "score": 0.7, "scores": {"A": 0.3, "B": 0.7}}, sent)
    assert [(score.label, score.word) for score in view.scores] == [("B", "0.70"), ("A", "0.30")]
    assert result(Task.SENTIMENT, {"n": 1}, sent).kind == "other"


class Jobs:
    """The part of the ledger's view that the feed reads."""

    def __init__(self, *jobs: Job) -> None:
        self.held = {job.id: job for job in jobs}
        self.reads = 0

    def jobs(self, ids: list[str]) -> list[Job]:
        self.reads += 1
        return [self.held[name] for name in ids if name in self.held]

    def newest(self, *, owner: str | None) -> str | None:
        mine = [job.id for job in self.held.values() if owner in (None, job.owner)]
        return max(mine, default=None)


def job(name: str, *, owner: str = "", version: int = 1) -> Job:
    return Job(
        id=name, owner=owner, status=JobStatus.RUNNING, task=None, model=None, priority=Priority.BULK,
        counts=Counts(total=10), input_tokens=0, output_tokens=0, created_at=datetime.now(UTC), started_at=None,
        finished_at=None, expires_at=None, metadata={}, error=None, version=version,
    )  # fmt: skip


def test_twenty_pages_of_500_jobs_cost_one_read_and_hear_of_what_changed_alone() -> None:
    """One stream a row took all connections of a browser; one look a page would take the database."""

    async def check() -> None:
        view = Jobs(*(job(f"job_{n:03}") for n in range(500)))
        feed = Feed(view, Rates(), Throughput())  # type: ignore[arg-type]
        followers = [
            Follower("", {f"job_{n:03}": 1 for n in range(500)}, newest="job_499") for _ in range(20)
        ]
        feed._followers.extend(followers)
        await feed.look()
        assert view.reads == 1
        assert not any([await follower.wait(0) for follower in followers])
        view.held["job_007"] = job("job_007", version=2)
        view.held["job_500"] = job("job_500")
        await feed.look()
        assert view.reads == 2
        for follower in followers:
            changes, has_newer = follower.take()
            assert ([change.job.id for change in changes], has_newer) == (["job_007"], True)
            assert follower.take() == ([], False), "once"

    asyncio.run(check())


def test_a_stream_tells_nothing_of_another_projects_jobs() -> None:
    async def check() -> None:
        view = Jobs(job("job_a", owner="mine"), job("job_b", owner="theirs"))
        feed = Feed(view, Rates(), Throughput())  # type: ignore[arg-type]
        mine = Follower("mine", {"job_a": 0, "job_b": 0}, newest="job_a")
        admin = Follower(None, {"job_b": 0}, newest="job_b")
        feed._followers.extend([mine, admin])
        await feed.look()
        assert [change.job.id for change in mine.take()[0]] == ["job_a"]
        assert [change.job.id for change in admin.take()[0]] == ["job_b"]

    asyncio.run(check())
