"""A submission: read the stream, check every row, spool, store, then send.

Rows are checked while they arrive and written to a temporary file, so that neither a
large upload takes memory nor a slow client holds a database transaction open. Only when
the last row is known to be good is everything stored, in one transaction.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from api.context import Context, acting_for
from api.schemas import JobIn
from api.serving import how_models_stand
from api.uploads import new_spool, spool_folder
from api.webhook_schemas import WebhookIn
from jobs import jsontext
from jobs.blocks import in_blocks
from jobs.errors import (
    NotAuthenticated,
    Overloaded,
    OverQuota,
    PayloadTooLarge,
    RequestError,
)
from jobs.estimate import Estimator, Load
from jobs.keys import Caller
from jobs.params import InvalidParams
from jobs.quota import Queued, Quota
from jobs.records import Job, NewBatch, NewDocument, NewJob, Priority, Task
from jobs.rows.formats import RawRow
from jobs.rows.validation import RowValidator, check_job
from jobs.tasks import parse_task, with_languages
from jobs.webhooks.records import NewWebhook

_SPOOL_MEMORY_BYTES = 4 << 20  # smaller submissions never touch the disk
_OVERLOAD_RETRY_SECONDS = 30

Reader = Callable[[Iterable[bytes]], Iterable[RawRow]]


def submit(
    context: Context,
    fields: JobIn,
    chunks: Iterable[bytes],
    read: Reader,
    *,
    caller: Caller,
    idempotency_key: str | None,
    batch: NewBatch | None = None,
    job_id: str | None = None,
    is_awaited: bool = False,
) -> tuple[Job, bool]:
    """Runs a whole submission; call it beside the event loop.

    Args:
        context: Of the app.
        fields: What holds for the whole job.
        chunks: The bytes of its rows.
        read: Makes rows of them.
        caller: Who submits.
        idempotency_key: As the caller gives it, or None.
        batch: What the job is to an OpenAI client, if one asked for it.
        job_id: That a new job gets; None: any.
        is_awaited: The caller waits for the answer: no webhook is told of the job's end.

    Returns:
        The job, and whether it is new (False: the Idempotency-Key was seen before).
    """
    caller = acting_for(context, caller, fields.project)
    with _bounding(context, caller.owner, idempotency_key):
        _refuse_overload(context, caller)
    job = new_job(fields, caller=caller, idempotency_key=idempotency_key, batch=batch)
    job = dataclasses.replace(job, webhook=_webhook(context, fields.webhook))
    models = how_models_stand(context)
    check_job(job, context.catalogue, models)
    settings = context.settings
    validator = RowValidator(
        job,
        context.catalogue,
        max_documents=settings.max_documents,
        max_grammar_bytes=settings.max_grammar_bytes,
        models=models,
    )
    load = Load(Estimator({name: standing.facts for name, standing in models.items()}))
    digest = hashlib.sha256(jsontext.dumps(_told_apart(fields), sort_keys=True))
    if batch is not None:
        digest.update(f"{batch.endpoint} {batch.completion_window} {batch.results_seconds}".encode())
    body = _hashed(chunks, digest.update)
    with new_spool(spool_folder(settings), memory_bytes=_SPOOL_MEMORY_BYTES) as spool:
        _write(spool, load.counting(validator.documents(read(body))))
        job = dataclasses.replace(
            job,
            id=job_id,
            is_told=not is_awaited,
            request_sha256=digest.hexdigest(),
            estimated_tokens=load.tokens,
            stored_bytes=spool.tell(),
        )
        with _bounding(context, caller.owner, idempotency_key):
            job = _within_quota(context, caller, job, load)
        if not context.keys.holds(caller):  # a body may take hours to arrive
            raise NotAuthenticated
        spool.seek(0)
        stored, is_new = context.store.submit(job, _read(spool))
    if is_new:
        context.metrics.submitted_jobs.inc()
        context.metrics.submitted_documents.inc(stored.counts.total)
        context.sender.send_soon(stored.id)
    return stored, is_new


def _told_apart(fields: JobIn) -> dict[str, Any]:
    """What a repeat of a submission must have in common with it.

    Fields that came with a release are left out where they are not given: a repeat may come after it.
    """
    absent = {name for name in ("name", "tags") if not getattr(fields, name)}
    return fields.model_dump(exclude={"project", *absent})


def _webhook(context: Context, wanted: WebhookIn | None) -> NewWebhook | None:
    """The webhook that a job comes with.

    Raises:
        RequestError: it is none, or nothing is sent there.
    """
    if wanted is None:
        return None
    try:
        return context.webhooks.new(wanted.url, events=wanted.events, secret=wanted.secret)
    except RequestError as error:
        raise type(error)(f"webhook.{error}") from None


def new_job(
    fields: JobIn, *, caller: Caller, idempotency_key: str | None = None, batch: NewBatch | None = None
) -> NewJob:
    """The job that fields ask for, apart from its documents. Raises RequestError."""
    try:
        task = None if fields.task is None else parse_task(fields.task)
        params = with_languages(fields.task, fields.params)
    except InvalidParams:
        raise
    except ValueError as error:
        raise RequestError(str(error)) from None
    expires_at = datetime.now(UTC) + timedelta(seconds=fields.expires_in) if fields.expires_in else None
    return NewJob(
        owner=caller.owner,
        api_key=caller.key_id,
        task=task,
        model=fields.model,
        params=params,
        priority=Priority.INTERACTIVE if fields.priority == "interactive" else Priority.BULK,
        metadata=fields.metadata,
        name=fields.name,
        tags=tuple(fields.tags),
        expires_at=expires_at,
        idempotency_key=idempotency_key,
        batch=batch,
    )


@contextmanager
def _bounding(context: Context, owner: str, idempotency_key: str | None) -> Iterator[None]:
    """Counts refusals. A repeat brings no work: it is let through to its job, however much is waiting.

    Whether it is one is asked only now: its job may have come in after this request.
    """
    try:
        yield
    except (Overloaded, OverQuota, PayloadTooLarge) as refusal:
        if idempotency_key is not None and context.store.has_submission(idempotency_key, owner=owner):
            return
        if isinstance(refusal, Overloaded):
            context.metrics.rejected.labels("overloaded").inc()
        raise


def _refuse_overload(context: Context, caller: Caller) -> None:
    """Before the body is read: not even one document more would be taken."""
    limit = context.settings.max_queued_documents
    if context.store.backlog()["open_documents"] >= limit:
        raise Overloaded(
            f"{limit} documents are waiting already", retry_after_seconds=_OVERLOAD_RETRY_SECONDS
        )
    quota = Quota.of(context.settings, caller.limits)
    quota.check(held_by(context, quota, caller.owner), Queued(documents=1, stored_bytes=1))


def _within_quota(context: Context, caller: Caller, job: NewJob, load: Load) -> NewJob:
    """The job as its owner may have it: as bulk when the interactive budget is used up.

    Raises:
        Overloaded: the owner has too much queued.
        OverQuota: the owner stores too much.
        PayloadTooLarge: the owner may never have so much queued.
    """
    quota = Quota.of(context.settings, caller.limits)
    queued = held_by(context, quota, job.owner)
    quota.check(queued, Queued(documents=load.documents, tokens=load.tokens, stored_bytes=job.stored_bytes))
    return dataclasses.replace(job, priority=quota.priority_for(job.priority, queued, load.documents))


def held_by(context: Context, quota: Quota, owner: str) -> Queued:
    """What the owner has; what he stores only where that is bounded, since all his jobs are looked at."""
    queued = context.store.queued(owner=owner)
    if quota.stored_bytes is None:
        return queued
    return dataclasses.replace(queued, stored_bytes=context.store.stored_bytes(owner=owner))


def _hashed(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _write(spool: IO[bytes], documents: Iterable[NewDocument]) -> None:
    for block in in_blocks(documents):
        rows = [
            (d.custom_id, d.task, d.model, d.text, d.context, d.messages, d.params, d.metadata) for d in block
        ]
        spool.write(jsontext.dumps(rows))
        spool.write(b"\n")


def _read(spool: IO[bytes]) -> Iterator[NewDocument]:
    seq = 0
    for line in spool:
        for custom_id, task, model, text, context, messages, params, metadata in jsontext.loads(line):
            yield NewDocument(
                seq=seq, custom_id=custom_id, task=Task(task), model=model, text=text, context=context,
                messages=messages, params=params, metadata=metadata,
            )  # fmt: skip
            seq += 1
