"""A call on its way: stored as a job, watched, and followed to its result in the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress

from api.calls.heard import Heard
from api.calls.line import Watch
from api.calls.request import Asked
from api.context import Context, in_thread
from api.openai.answers import Answered, choices_of
from api.openai.errors import CallRefused, failure_of
from api.schemas import JobIn
from api.submission import submit
from jobs.errors import IllegalTransition, InvalidRows, JobNotFound, NotAuthenticated, StoreUnavailable
from jobs.keys import Caller
from jobs.records import DocumentStatus, Job, ResultRow, new_job_id
from jobs.rows.formats import RawRow
from jobs.watching import Told

_log = logging.getLogger(__name__)
#: What is heard needs no look; so often it is looked all the same, and whether the key still holds.
_LOOK_SECONDS = 2.0
_QUIET_LOOKS = 5  #: in vain, after which a stream says that it is still there


class Call:
    """One of them."""

    def __init__(
        self, context: Context, caller: Caller, job: Job, watch: Watch, *, is_own: bool = True
    ) -> None:
        """Begins to follow.

        Args:
            context: of the app.
            caller: who asks.
            job: as it was stored.
            watch: what is told of it.
            is_own: made for this call; False: an equal one made it before.
        """
        self.job = job
        self._is_own = is_own
        self.row: ResultRow | None = None  #: once it is settled
        self._context = context
        self._caller = caller
        self._watch = watch
        self._heard = Heard()

    @property
    def answered(self) -> Answered:
        """What its answers say beside the result; the name is that of the job."""
        return Answered(self.job.id.removeprefix("job_"), int(self.job.created_at.timestamp()))

    async def pieces(self) -> AsyncIterator[str]:
        """The text as it comes, to the last of its one choice; of several choices nothing.

        Empty ones say that nothing comes for long.

        Raises:
            CallRefused: it failed, was cancelled or ran out of time.
            NotAuthenticated: the key was revoked meanwhile.
            Contradicted: the result is not what was told of it.
        """
        num_quiet = 0
        while self.row is None:
            told = await self._listen()
            num_quiet = 0 if told else num_quiet + 1
            if num_quiet == _QUIET_LOOKS:
                num_quiet = 0
                yield ""
            for piece in map(self._heard.take, told):
                if piece:
                    yield piece
            if not told or told[-1].is_settled:
                await self._look()
        texts = choices_of(self.row)
        if len(texts) == 1 and (rest := self._heard.rest(texts[0][0])):
            yield rest

    async def result(self) -> ResultRow:
        """The result; raises what `pieces` does."""
        while self.row is None:
            told = await self._listen()
            if not told or told[-1].is_settled:
                await self._look()
        return self.row

    def leave(self) -> None:
        """Nobody waits any more: what is not settled is cancelled, by a task of its own."""
        if self.row is None and self._is_own:
            self._context.line.soon(self._cancel())
        else:
            self._context.line.forget(self._watch)

    async def _cancel(self) -> None:
        """In this order: a worker that nobody listens to asks the ledger whether it shall go on."""
        try:
            await in_thread(self._context.store.cancel, self.job.id, owner=self.job.owner)
        except (IllegalTransition, JobNotFound):
            pass  # it has ended
        except StoreUnavailable as error:
            _log.warning("call_not_cancelled: %s: %s", self.job.id, error)
        finally:
            self._context.line.forget(self._watch)

    async def _listen(self) -> list[Told]:
        if self._watch.is_live:
            return await self._watch.news(_LOOK_SECONDS)
        with suppress(StoreUnavailable):
            self.job = await self._context.changes.wait(self.job, _LOOK_SECONDS)
        return await self._watch.news(0.0)

    async def _look(self) -> None:
        """Whether the ledger has the result."""
        try:
            if not await in_thread(self._context.keys.holds, self._caller):
                raise NotAuthenticated
            rows = await in_thread(self._context.store.results, self.job.id, limit=1)
        except StoreUnavailable as error:
            _log.warning("call_goes_on_waiting: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)
            return
        if rows:
            self.row = rows[0]
            if self.row.status is not DocumentStatus.SUCCEEDED:
                raise failure_of(self.row)


async def begin_call(context: Context, caller: Caller, asked: Asked, *, idempotency_key: str | None) -> Call:
    """Stores the job; from then on it is watched.

    Raises:
        CallRefused: the request is wrong.
        Overloaded: there is too much work.
    """
    job_id = new_job_id()
    watch = await context.line.watch(job_id, wants_text=asked.is_streamed)
    try:
        job = await context.uploads.in_thread(_stored, context, caller, asked, job_id, idempotency_key)
    except BaseException:
        context.line.forget(watch)
        raise
    return Call(context, caller, job, watch, is_own=job.id == job_id)


def _stored(context: Context, caller: Caller, asked: Asked, job_id: str, idempotency_key: str | None) -> Job:
    fields = JobIn(
        priority="interactive", expires_in=context.settings.call_seconds, metadata={"endpoint": asked.url}
    )

    def read(chunks: Iterable[bytes]) -> Iterator[RawRow]:
        for _ in chunks:  # whoever hashes them has seen them with that
            pass
        yield asked.row

    try:
        job, _ = submit(
            context, fields, [asked.body], read,
            caller=caller, idempotency_key=idempotency_key, job_id=job_id, is_awaited=True,
        )  # fmt: skip
    except InvalidRows as error:
        raise CallRefused.of_row(error.rows[0]) from None
    return job
