"""The books, checked against one another: what was accepted, settled, counted and leased."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

from sqlalchemy import Connection, Engine, create_engine, text

from tests.support.fault_engine import answer_to

_COUNTED = ("succeeded", "failed", "cancelled", "expired")
#: What was open when its job was cancelled or expired has no row of its own: the job's status tells.
_UNWRITTEN = ("cancelled", "expired")
#: Nothing is owed for these: ended early; or a submission that its process died in, before any 202, and
#: what is being removed, until the sweeper has done it.
_NOT_OWED = "('cancelled', 'expired', 'arriving', 'leaving')"
_OPEN = (
    "(SELECT count(*) FROM document d WHERE d.job = j.id AND NOT EXISTS "
    "(SELECT 1 FROM result r WHERE r.job = d.job AND r.seq = d.seq))"
)
_DRIFT = "SELECT count(*) FROM job j WHERE " + " OR ".join(
    f"j.{status} != (SELECT count(*) FROM result r WHERE r.job = j.id AND r.status = '{status}')"
    + (f" + CASE WHEN j.status = '{status}' THEN {_OPEN} ELSE 0 END" if status in _UNWRITTEN else "")
    for status in _COUNTED
)


@dataclass(frozen=True)
class Audit:
    """All but the first three must be 0."""

    accepted: int
    succeeded: int
    other: int  #: failed, quarantined, cancelled, expired
    lost: int  #: documents without an outcome
    doubled: int  #: results beyond one a document
    wrong: int  #: successes whose output does not belong to their text
    drift: int  #: jobs whose counters differ from their rows
    stuck: int  #: slices still leased, or open in a finished job

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, mixed up or left over."""
        return not (self.lost or self.doubled or self.wrong or self.drift or self.stuck)

    def row(self) -> dict[str, int]:
        """For the report."""
        return asdict(self)


def audit(database_url: str) -> Audit:
    """Reads everything, once the jobs are finished."""
    engine = create_engine(database_url)
    try:
        return _audit(engine)
    finally:
        engine.dispose()


def _audit(engine: Engine) -> Audit:
    with engine.connect() as connection:
        count = partial(_count, connection)
        succeeded = connection.execute(
            text(
                "SELECT d.text, r.output FROM document d JOIN result r ON r.job = d.job AND r.seq = d.seq "
                "WHERE r.status = 'succeeded'"
            )
        ).all()
        return Audit(
            accepted=count("SELECT count(*) FROM document"),
            succeeded=len(succeeded),
            other=count("SELECT count(*) FROM result WHERE status != 'succeeded'"),
            wrong=sum(answer_to(one.text) not in one.output for one in succeeded),
            **_books(connection),
        )


def books(database_url: str) -> dict[str, int]:
    """The part that holds whatever computed the documents."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return _books(connection)
    finally:
        engine.dispose()


def _books(connection: Connection) -> dict[str, int]:
    count = partial(_count, connection)
    return {
        "lost": count(
            "SELECT count(*) FROM document d JOIN job j ON j.id = d.job WHERE NOT EXISTS "
            "(SELECT 1 FROM result r WHERE r.job = d.job AND r.seq = d.seq) "
            f"AND j.status NOT IN {_NOT_OWED}"
        ),
        "doubled": count("SELECT count(*) FROM result")
        - count("SELECT count(*) FROM (SELECT DISTINCT job, seq FROM result) AS distinct_results"),
        "drift": count(_DRIFT),
        "stuck": count(
            "SELECT count(*) FROM slice s JOIN job j ON j.id = s.job WHERE s.state = 'leased' "
            f"OR (s.num_open != 0 AND j.status NOT IN {_NOT_OWED})"
        ),
    }


def _count(connection: Connection, sql: str) -> int:
    return int(connection.execute(text(sql)).scalar_one())
