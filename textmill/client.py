"""The Python client.

from textmill.client import Textmill

with Textmill("http://127.0.0.1:8000") as server:
    job = server.submit("reviews.csv", task="sentiment", text_column="review")
    for result in job.results():
        print(result.custom_id, result.text)
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import Any, Self

import httpx2

from jobs import jsontext
from textmill.administration import Administration
from textmill.documents import plain
from textmill.errors import UnreadableInput
from textmill.handle import JobHandle
from textmill.references import resolve
from textmill.row_options import RowOptions
from textmill.transport import Transport
from textmill.uploads import Source, Upload, open_upload
from textmill.views import JobView, Result
from textmill.webhooks import Webhooks, verify_webhook

__all__ = ["JobHandle", "Textmill", "verify_webhook"]


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

    @property
    def administration(self) -> Administration:
        """Projects and keys, for who has an administrator's key."""
        return Administration(self._transport)

    @property
    def webhooks(self) -> Webhooks:
        """Who is told when jobs of the project end."""
        return Webhooks(self._transport)

    @staticmethod
    def verify_webhook(body: bytes | str, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
        """As `textmill.client.verify_webhook`, which needs no server."""
        return verify_webhook(body, headers, secret)

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
        id_column: str | None = None,
        context_column: str | None = None,
        columns: Mapping[str, str] | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        webhook: str | Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        input_format: str | None = None,
    ) -> JobHandle:
        """Sends documents and returns as soon as the server has stored them.

        Args:
            source: A path to a JSONL, JSON, CSV, TSV or TXT file (each also as .gz); or rows
                (as in JSONL); or texts; or a table of pandas, polars or Arrow, whose other
                columns become metadata.
            task: For rows that name none.
            model: For rows that name none; the server's default otherwise.
            params: Under every row's own.
            priority: `interactive` or `bulk` (the default).
            text_column: The column that holds the text; `text` otherwise.
            id_column: The column that holds the id; `custom_id` otherwise.
            context_column: The column that holds the context of a question.
            columns: Roles beside these three: `{"model": ..., "task": ..., "params": ...}`.
            delimiter: Of a CSV, where it is not a comma: `;`, `tab`, ...
            encoding: Of a file, where it is neither UTF-8 nor has a byte order mark: `cp1252`, ...
            metadata: Kept with the job.
            name: For people: the job is found by it. Several jobs may have one name.
            tags: Likewise; no commas in them.
            webhook: An address to be told when the job ends, or `{"url": ..., "events": [...]}`;
                the secret that its event is signed with is `webhook["secret"]` of the job returned.
            idempotency_key: Two submissions with one key make one job; made up when None,
                so that a retry after a broken connection cannot submit twice.
            input_format: `jsonl`, `json`, `csv`, `tsv` or `txt`, where the file's name does not tell.

        Raises:
            RequestRefused: nothing was stored; `rows` names what is wrong where.
            UnreadableInput: the source cannot be read.
            TypeError: the source is nothing that holds documents.
            ServerUnreachable: no answer; it may be sent again with the same key.
        """
        options = RowOptions.of(
            columns, text=text_column, id=id_column, context=context_column,
            delimiter=delimiter, encoding=encoding,
        )  # fmt: skip
        upload = open_upload(source, form=input_format, options=options)
        try:
            return self.submit_upload(
                upload,
                task=task,
                model=model,
                params=params,
                priority=priority,
                metadata=metadata,
                name=name,
                tags=tags,
                webhook=webhook,
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
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        webhook: str | Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> JobHandle:
        """As `submit`, with an input opened by the caller, who also closes it."""
        given = {
            "task": task, "model": model, "params": params, "priority": priority, "metadata": metadata,
            "name": name, "tags": ",".join(tags) or None,
            "webhook": webhook,
        }  # fmt: skip
        query = {**upload.options.query(), **_job_fields(upload.fields, given)}
        headers = {
            "Content-Type": upload.content_type,
            "Content-Length": str(upload.size_bytes),
            "Idempotency-Key": idempotency_key or secrets.token_hex(16),
        }
        response = self._transport.request("POST", "/v1/jobs", query=query, headers=headers, body=upload.body)
        job = JobView.parse(jsontext.loads(response.content))
        return JobHandle(self._transport, job, note=response.headers.get("Textmill-Note"))

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

    def find(self, reference: str, *, is_unique: bool = False) -> JobHandle:
        """A job submitted earlier, as people name it.

        Args:
            reference: Its id, how that begins, its name, or `last`.
            is_unique: Refuses a name that several jobs have; otherwise the newest of them is meant.

        Raises:
            NoSuchJob: no job is called so.
            AmbiguousJob: several are.
        """
        return self.job(resolve(reference, self._listed, is_unique=is_unique))

    def jobs(
        self,
        *,
        status: str | None = None,
        task: str | None = None,
        model: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        project: str | None = None,
        page_size: int = 50,
    ) -> Iterator[JobView]:
        """Jobs, newest first, page by page as they are needed.

        Args:
            status: Only jobs of this status.
            task: Only jobs that hold documents of this task.
            model: Only jobs that hold documents for this model.
            name: Only jobs of this name.
            tag: Only jobs with this tag.
            project: Only jobs of this project, for an administrator.
            page_size: How many to ask for at a time.
        """
        return self._listed({
            "status": status, "task": task, "model": model, "name": name, "tag": tag, "project": project,
            "limit": page_size,
        })  # fmt: skip

    def _listed(self, query: Mapping[str, Any]) -> Iterator[JobView]:
        after: str | None = None
        while True:
            query = {**query, "after": after}
            page = jsontext.loads(self._transport.request("GET", "/v1/jobs", query=query).content)
            for item in page["data"]:
                yield JobView.parse(item)
            after = page.get("next")
            if after is None:
                return

    def usage(
        self,
        *,
        by: Sequence[str] = ("project",),
        first_day: date | None = None,
        last_day: date | None = None,
        project: str | None = None,
    ) -> dict[str, Any]:
        """What was used, by any of day, project and key, and what the project holds and may have.

        Args:
            by: What there is a line for each value of.
            first_day: In UTC; the beginning when None.
            last_day: In UTC, with it; today when None.
            project: For an administrator: only this one.
        """
        query = {"by": ",".join(by), "from": first_day, "to": last_day, "project": project}
        return dict(self._transport.request("GET", "/v1/usage", query=query).json())

    def workers(self) -> list[dict[str, Any]]:
        """Workers that gave a sign of life within the last minute, as the server describes them."""
        return list(jsontext.loads(self._transport.request("GET", "/v1/workers").content)["data"])

    def models(self) -> list[dict[str, Any]]:
        """The models this server lists, as it describes them."""
        answer = jsontext.loads(self._transport.request("GET", "/v1/models").content)
        return list(answer["data"] if isinstance(answer, dict) else answer)


def _job_fields(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str | None]:
    """The job's fields as query parameters: what the input says of itself, and what the caller gives."""
    fields = dict(own)
    for name, value in given.items():
        if value is None:
            continue
        if fields.setdefault(name, value) != value:
            raise UnreadableInput(f"the input itself names another {name} ({fields[name]!r}); leave one out")
    return {
        name: _as_json(name, value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value is not None
    }


def _as_json(name: str, value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(value), separators=(",", ":"), allow_nan=False, default=plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableInput(f"{name} cannot be written as JSON: {error}") from error
