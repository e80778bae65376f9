"""The Python client.

from textmill.client import Textmill

with Textmill("http://127.0.0.1:8000") as server:
    job = server.submit("reviews.csv", task="sentiment", text_column="review")
    for result in job.results():
        print(result.custom_id, result.text)
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from jobs import jsontext
from textmill.handle import JobHandle
from textmill.transport import Transport
from textmill.uploads import Source, Upload, open_upload
from textmill.views import JobView, Result

__all__ = ["JobHandle", "Textmill"]


class Textmill:
    """A Textmill server.

    Args:
        url: Where it answers.
        api_key: Sent as a bearer token.
        retry_seconds: How long one call may keep trying when connections break or the
            server says 429 or 503; it rests as long as the server asks.
        first_contact_seconds: The same, as long as the server has never answered.
        transport: For tests: replaces the network.
        sleep: For tests: replaces `time.sleep` between tries.
        clock: For tests: replaces `time.monotonic`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        *,
        retry_seconds: float = 60.0,
        first_contact_seconds: float = 3.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = Transport(
            url,
            api_key=api_key,
            retry_seconds=retry_seconds,
            first_contact_seconds=first_contact_seconds,
            transport=transport,
            sleep=sleep,
            clock=clock,
        )

    @property
    def url(self) -> str:
        """Where the server answers."""
        return self._transport.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives back the connections. Jobs go on."""
        self._transport.close()

    def submit(
        self,
        source: Source,
        *,
        task: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        priority: str | None = None,
        text_column: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        input_format: str | None = None,
    ) -> JobHandle:
        """Sends documents and returns as soon as the server has stored them.

        Args:
            source: A path to a JSONL, JSON, CSV or TXT file; or rows (as in JSONL); or texts.
            task: For rows that name none.
            model: For rows that name none; the server's default otherwise.
            params: Under every row's own.
            priority: `interactive` or `bulk` (the default).
            text_column: The CSV column that holds the text.
            metadata: Kept with the job.
            idempotency_key: Two submissions with one key make one job; made up when None,
                so that a retry after a broken connection cannot submit twice.
            input_format: `jsonl`, `csv` or `txt`, where the file's name does not tell.

        Raises:
            RequestRefused: nothing was stored; `rows` names what is wrong where.
            UnreadableInput: the source cannot be read.
            ServerUnreachable: no answer; it may be sent again with the same key.
        """
        upload = open_upload(source, form=input_format)
        try:
            return self.submit_upload(
                upload,
                task=task,
                model=model,
                params=params,
                priority=priority,
                text_column=text_column,
                metadata=metadata,
                idempotency_key=idempotency_key,
            )
        finally:
            upload.close()

    def submit_upload(
        self,
        upload: Upload,
        *,
        task: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        priority: str | None = None,
        text_column: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> JobHandle:
        """As `submit`, with an input opened by the caller, who also closes it."""
        query = {
            "task": task,
            "model": model,
            "params": _json_or_none(params),
            "priority": priority,
            "text_column": text_column,
            "metadata": _json_or_none(metadata),
        }
        headers = {
            "Content-Type": upload.content_type,
            "Content-Length": str(upload.size_bytes),
            "Idempotency-Key": idempotency_key or secrets.token_hex(16),
        }
        response = self._transport.request("POST", "/v1/jobs", query=query, headers=headers, body=upload.body)
        return JobHandle(self._transport, JobView.parse(jsontext.loads(response.content)))

    def run(
        self,
        text: str,
        *,
        task: str,
        context: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Result:
        """One document, ahead of bulk work; returns its result."""
        row = {"text": text} if context is None else {"text": text, "context": context}
        job = self.submit([row], task=task, model=model, params=params, priority="interactive")
        return next(job.results())

    def job(self, job_id: str) -> JobHandle:
        """A job submitted earlier; asks nothing of the server yet."""
        return JobHandle(self._transport, job_id)

    def jobs(
        self,
        *,
        status: str | None = None,
        task: str | None = None,
        model: str | None = None,
        page_size: int = 50,
    ) -> Iterator[JobView]:
        """Jobs, newest first, page by page as they are needed.

        Args:
            status: Only jobs of this status.
            task: Only jobs that hold documents of this task.
            model: Only jobs that hold documents for this model.
            page_size: How many to ask for at a time.
        """
        after: str | None = None
        while True:
            query = {"status": status, "task": task, "model": model, "after": after, "limit": page_size}
            page = jsontext.loads(self._transport.request("GET", "/v1/jobs", query=query).content)
            for item in page["data"]:
                yield JobView.parse(item)
            after = page.get("next")
            if after is None:
                return

    def models(self) -> list[dict[str, Any]]:
        """The models this server lists, as it describes them."""
        answer = jsontext.loads(self._transport.request("GET", "/v1/models").content)
        return list(answer["data"] if isinstance(answer, dict) else answer)


def _json_or_none(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else jsontext.dumps(dict(value)).decode()
