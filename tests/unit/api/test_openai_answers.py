"""Results as lines of OpenAI's output files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from openai.types import Batch as StockBatch
from openai.types import Completion
from openai.types.chat import ChatCompletion

from api.openai.batches import batch_out
from api.openai.outputs import output_line
from jobs.batches import Batch, LineProblem
from jobs.records import Counts, DocumentStatus, Job, JobStatus, NewBatch, Priority, ResultRow, Task

MADE_AT, ENDED_AT = datetime(2026, 11, 27, 8, tzinfo=UTC), datetime(2026, 11, 27, 9, tzinfo=UTC)
JOB = Job(
    id="job_1", owner="", status=JobStatus.COMPLETED, task=None, model=None, priority=Priority.BULK,
    counts=Counts(total=3, succeeded=2, failed=1), input_tokens=7, output_tokens=5, created_at=MADE_AT,
    started_at=MADE_AT, finished_at=ENDED_AT, expires_at=MADE_AT, metadata={}, error=None, version=3,
)  # fmt: skip


def batch(endpoint: str = "/v1/chat/completions", job: Job | None = JOB, **more: Any) -> Batch:
    asked = NewBatch(endpoint=endpoint, input_file="file-1", completion_window="24h")
    return Batch(id="batch_1", owner="", asked=asked, created_at=MADE_AT, job=job, has_results=True, **more)


def row(
    output: dict[str, Any] | None, status: DocumentStatus = DocumentStatus.SUCCEEDED, **more: Any
) -> ResultRow:
    values: dict[str, Any] = {
        "seq": 2, "custom_id": "r2", "status": status, "task": Task.GENERATION, "model": "m", "output": output,
        "error_code": None, "error_message": None, "input_tokens": 4, "output_tokens": 6, "truncated": False,
        "metadata": None, "provenance": None, **more,
    }  # fmt: skip
    return ResultRow(**values)


def body_of(line: dict[str, Any]) -> dict[str, Any]:
    assert line["custom_id"] == "r2"
    assert line["error"] is None
    assert line["response"]["status_code"] == 200
    body: dict[str, Any] = line["response"]["body"]
    return body


def test_a_chat_completion_is_one_to_the_stock_client() -> None:
    body = body_of(output_line(batch(), row({"text": "Hi", "finish_reason": "stop"})))
    read = ChatCompletion.model_validate(body, strict=True)
    assert read.choices[0].message.content == "Hi"
    assert read.choices[0].finish_reason == "stop"
    assert read.usage is not None
    assert (read.usage.prompt_tokens, read.usage.completion_tokens, read.usage.total_tokens) == (4, 6, 10)
    assert read.model == "m"


def test_a_completion_with_several_texts_has_a_choice_for_each() -> None:
    output = {"text": "a", "finish_reason": "stop", "texts": ["a", "b"], "finish_reasons": ["stop", "length"]}
    read = Completion.model_validate(body_of(output_line(batch("/v1/completions"), row(output))))
    assert [(c.index, c.text, c.finish_reason) for c in read.choices] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


def test_our_own_answers_hold_what_results_hold() -> None:
    output = {"label": "POSITIVE", "score": 0.9}
    body = body_of(output_line(batch("/v1/sentiment"), row(output, task=Task.SENTIMENT)))
    assert (body["object"], body["label"], body["score"]) == ("sentiment", "POSITIVE", 0.9)
    assert body["usage"] == {"input_tokens": 4, "output_tokens": 6, "total_tokens": 10}


def test_in_a_mixed_batch_each_answer_is_of_its_own_url() -> None:
    output = {"text": "Hi", "finish_reason": "stop"}
    for url, kind in (("/v1/completions", "text_completion"), ("/v1/chat/completions", "chat.completion")):
        body = body_of(output_line(batch("/v1/*"), row(output, metadata={"url": url})))
        assert body["object"] == kind


def test_a_request_that_failed_has_the_answer_that_a_single_call_would_have() -> None:
    failed = row(None, DocumentStatus.FAILED, error_code="too_long", error_message="1200 tokens")
    line = output_line(batch(), failed)
    assert line["response"]["status_code"] == 400
    error = line["response"]["body"]["error"]
    assert (error["code"], error["message"], error["type"]) == (
        "too_long",
        "1200 tokens",
        "invalid_request_error",
    )
    line = output_line(batch(), replace(failed, error_code="quarantined"))
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["type"]) == (
        500,
        "server_error",
    )


def test_a_request_that_never_ran_has_no_response() -> None:
    for status, code in (
        (DocumentStatus.EXPIRED, "batch_expired"),
        (DocumentStatus.CANCELLED, "batch_cancelled"),
    ):
        line = output_line(batch(), row(None, status))
        assert line["response"] is None
        assert line["error"]["code"] == code


def test_lines_of_one_batch_have_ids_of_their_own() -> None:
    output = {"text": "Hi", "finish_reason": "stop"}
    lines = [output_line(batch(), row(output, seq=seq)) for seq in range(20)]
    assert len({line["id"] for line in lines}) == 20
    assert len({line["response"]["request_id"] for line in lines}) == 20


def seen(value: Batch) -> StockBatch:
    return StockBatch.model_validate(batch_out(value).model_dump(), strict=True)


def test_a_finished_batch_reads_as_openais() -> None:
    found = seen(batch())
    assert (found.status, found.in_progress_at, found.completed_at) == ("completed", 1795766400, 1795770000)
    assert found.finalizing_at == found.completed_at
    assert (found.output_file_id, found.error_file_id) == ("file-1-output", "file-1-errors")
    assert found.request_counts is not None
    assert (found.request_counts.total, found.request_counts.completed, found.request_counts.failed) == (
        3,
        2,
        1,
    )
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (7, 5, 12)


def test_every_status_of_a_job_is_one_of_openais() -> None:
    def status(job_status: JobStatus, **counts: int) -> str:
        counted = Counts(**{"total": 3, **counts})
        ended = ENDED_AT if job_status.is_final else None
        return str(seen(batch(job=replace(JOB, status=job_status, counts=counted, finished_at=ended))).status)

    assert status(JobStatus.QUEUED, queued=3) == "in_progress"
    assert status(JobStatus.RUNNING, running=2, succeeded=1) == "in_progress"
    assert status(JobStatus.RUNNING, succeeded=3) == "finalizing"
    assert status(JobStatus.CANCELLING, queued=3) == "cancelling"
    assert status(JobStatus.CANCELLED, cancelled=3) == "cancelled"
    assert status(JobStatus.EXPIRED, expired=3) == "expired"
    assert status(JobStatus.FAILED, failed=3) == "completed"  # each of them says why, in the error file


def test_files_are_named_once_the_batch_has_ended_and_only_those_that_hold_a_line() -> None:
    running = replace(
        JOB, status=JobStatus.RUNNING, counts=Counts(total=3, succeeded=2, running=1), finished_at=None
    )
    assert (seen(batch(job=running)).output_file_id, seen(batch(job=running)).error_file_id) == (None, None)
    cancelled = replace(JOB, status=JobStatus.CANCELLED, counts=Counts(total=3, cancelled=3))
    assert (seen(batch(job=cancelled)).output_file_id, seen(batch(job=cancelled)).error_file_id) == (
        None, "file-1-errors",
    )  # fmt: skip


def test_a_refused_batch_says_why_line_by_line() -> None:
    problem = LineProblem(code="invalid_url", message="no", param="url", line=3)
    found = seen(batch(job=None, problems=(problem,)))
    assert (found.status, found.failed_at) == ("failed", found.created_at)
    assert found.errors is not None
    assert found.errors.data is not None
    (error,) = found.errors.data
    assert (error.code, error.message, error.param, error.line) == ("invalid_url", "no", "url", 3)
