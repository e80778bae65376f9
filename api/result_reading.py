"""What one answer to `GET .../results` holds, and where the next one begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from jobs.errors import ResultsChanged
from jobs.records import Job, ResultFilter, ResultPage, ResultRow
from jobs.store.interface import Store

_PAGE = 2000


@dataclass(frozen=True)
class Answer:
    """Pages of results; the first is in memory: an error is met before any byte is sent."""

    pages: Iterator[list[ResultRow]]
    #: results in all pages, where that is known beforehand
    count: int | None
    #: the `after` of the next answer; None: nothing will come behind this one
    next_after: int | None


def answer(
    store: Store, job: Job, *, after: int, limit: int | None, only: ResultFilter, has_gaps: bool
) -> Answer:
    """What there is behind `after`.

    Args:
        store: The ledger.
        job: As it was before this call.
        after: The `seq` to begin behind.
        limit: Most results of a page, fewer where they are large; None: all of a finished job, and of
            a running one as much as is held at a time (or with gaps: all that is settled).
        only: Which results.
        has_gaps: Pass over documents that are still open instead of ending there.

    Raises:
        ResultsChanged: the finished job was retried meanwhile; also from `pages`.
    """
    if has_gaps and limit is not None:
        return _page_with_gaps(store, job, after, limit, only)
    page = store.result_page(job.id, after=after, limit=limit or _PAGE, only=only)
    if limit is None and job.status.is_final:
        return _all(store, job, after, page, only)
    seq = page.rows[-1].seq if page.rows else after
    if limit is None and has_gaps and page.has_more:
        # A look, not a page: the way on begins before the first document that is open.
        return Answer(chain([page.rows], _settled(store, job, seq, only)), None, seq)
    return Answer(iter([page.rows]), len(page.rows), seq if page.has_more else None)


def _page_with_gaps(store: Store, job: Job, after: int, limit: int, only: ResultFilter) -> Answer:
    page = store.result_page(job.id, after=after, limit=limit, only=only, has_gaps=True)
    return Answer(iter([page.rows]), len(page.rows), page.rows[-1].seq if page.has_more else None)


def _all(store: Store, job: Job, after: int, first: ResultPage, only: ResultFilter) -> Answer:
    _check_is_whole(first, job)
    count = store.count_results(job.id, after=after, only=only) if first.has_more else len(first.rows)
    return Answer(_strictly(store, job, first, only), count, None)


def _strictly(store: Store, job: Job, page: ResultPage, only: ResultFilter) -> Iterator[list[ResultRow]]:
    """The pages of a finished job; one that has a document open again is an error."""
    yield page.rows
    while page.has_more:
        page = store.result_page(job.id, after=page.rows[-1].seq, limit=_PAGE, only=only)
        _check_is_whole(page, job)
        yield page.rows


def _check_is_whole(page: ResultPage, job: Job) -> None:
    if page.is_open_next:
        raise ResultsChanged(f"{job.id} was retried while its results were read: read them again")


def _settled(store: Store, job: Job, after: int, only: ResultFilter) -> Iterator[list[ResultRow]]:
    while rows := store.results(job.id, after=after, limit=_PAGE, only=only):
        yield rows
        after = rows[-1].seq
