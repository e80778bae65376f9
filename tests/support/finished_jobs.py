"""A ledger's past: very many finished documents, made by SQL alone."""

from __future__ import annotations

from sqlalchemy import Connection, text

from jobs.store.database import Database

_PER_SLICE = 512


def add_past(database: Database, *, num_documents: int, num_jobs: int, has_statistics: bool = True) -> None:
    """Finished jobs of one document each, then one of very many, and statistics of it all.

    PostgreSQL makes statistics by itself; SQLite has none until somebody asks for them.
    """

    def work(connection: Connection) -> None:
        for num_of_jobs, num_of_each in ((num_jobs, 1), (1, num_documents)):
            _add_jobs(connection, database.engine.dialect.name, num_of_jobs, num_of_each)

    database.write(work)
    if has_statistics or not database.is_sqlite:
        database.write(lambda connection: connection.execute(text("ANALYZE")))


def add_done_slices(database: Database, job_id: str, *, num_slices: int, has_statistics: bool = True) -> None:
    """As if the job had been far larger, and most of it were done."""

    def work(connection: Connection) -> None:
        row = text("SELECT id FROM job WHERE public_id = :id")
        last = connection.execute(row, {"id": job_id}).scalar_one() - 1
        statement = _SLICES.replace("job.id, n,", "job.id, :far + n,") + " AND job.id <= :last + 1"
        statement = statement.format(numbers=_NUMBERS[database.engine.dialect.name])
        values = {"last": last, "per": _PER_SLICE, "upto": num_slices, "far": 1_000_000}
        connection.execute(text(statement), values)

    database.write(work)
    if has_statistics or not database.is_sqlite:
        database.write(lambda connection: connection.execute(text("ANALYZE")))


def _add_jobs(connection: Connection, dialect: str, num_jobs: int, num_documents: int) -> None:
    last = connection.execute(text("SELECT COALESCE(max(id), 0) FROM job")).scalar_one()
    num_slices = -(-num_documents // _PER_SLICE)
    values = {"last": last, "per": _PER_SLICE, "count": num_documents}
    for statement, upto in (
        (_JOBS, num_jobs), (_DOCUMENTS, num_documents), (_RESULTS, num_documents), (_SLICES, num_slices)
    ):  # fmt: skip
        named = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement.format(numbers=_NUMBERS[dialect])), {**named, "upto": upto})


_NUMBERS = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < :upto) "
    "SELECT n FROM c) AS numbers",
    "postgresql": "generate_series(0, :upto - 1) AS numbers(n)",
}
_JOBS = (
    "INSERT INTO job (public_id, owner, params, priority, metadata_json, status, total, succeeded, failed, "
    "cancelled, expired, input_tokens, output_tokens, created_at, started_at, finished_at, version) "
    "SELECT 'job_past' || (:last + n), '', '{{}}', 6, '{{}}', 'completed', :count, :count, 0, 0, 0, 0, 0, "
    "1, 1, 2, 1 FROM {numbers}"
)
_DOCUMENTS = (
    "INSERT INTO document (job, seq, slice, custom_id, text, crash_count) "
    "SELECT job.id, n, n / :per, 'row', 'a text of some words', 0 FROM job, {numbers} WHERE job.id > :last"
)
_RESULTS = (
    "INSERT INTO result (job, seq, attempt, status, output, input_tokens, output_tokens, truncated) "
    "SELECT job.id, n, 1, CASE WHEN n % 100 = 99 THEN 'failed' ELSE 'succeeded' END, '{{}}', 5, 1, false FROM job, {numbers} WHERE job.id > :last"
)
_SLICES = (
    "INSERT INTO slice (job, number, task, model, priority, state, first_seq, last_seq, num_open, attempt, "
    "crash_count, isolate, available_at, sent_at) SELECT job.id, n, 'sentiment', 'm', 6, 'done', n * :per, "
    "n * :per + :per - 1, 0, 1, 0, false, 0, 1 FROM job, {numbers} WHERE job.id > :last"
)
