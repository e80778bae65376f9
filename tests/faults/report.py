"""From the rows of `make faults` to `docs/faults.md`.

python -m tests.faults.report ROWS.jsonl docs/faults.md
"""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_BOOKS = ("accepted", "succeeded", "other", "lost", "doubled", "wrong", "drift", "stuck")
_HEAD = """# Faults: what was injected, and what the books said afterwards

Written by `make faults`, which drives the real API, Celery workers, Redis-compatible server and database as child
processes and reads the ledger with plain SQL at the end of every test. *lost*: accepted documents without a result;
*doubled*: results beyond one a document; *wrong*: outputs that do not belong to their text; *drift*: jobs whose counters
differ from their rows; *stuck*: slices still leased, or open, in a finished job. All five must be 0.
*other* are results that are no successes: cancelled documents, and poison.

Before these, the same command ran 1,000 random histories of submit, claim, heartbeat, settle, fail, release, expire,
cancel, retry, crash and sweep on SQLite and 1,000 on PostgreSQL (`tests/conformance/test_histories.py`), with the books
checked after every step; it stops there if one does not balance.
"""
_TAIL = """
## What cannot be survived
* The disk that holds the database is lost: there is no second copy of the ledger. Back it up, or use PostgreSQL with
  replication.
* SQLite's `synchronous` is FULL, so a power cut loses no acknowledged submission as long as the disk keeps its word.
* A process frozen (SIGSTOP, a suspended machine) in the middle of a transaction holds SQLite's write lock until it goes
  on or is killed. Submissions are refused with 503 meanwhile, and nothing is lost. PostgreSQL does not have this.
* A worker killed with SIGKILL, or cut off from the database, keeps its leases until they lapse. SIGTERM, SIGINT,
  SIGQUIT and a second signal give them back at once.
* A document that kills its process costs three runs: in company, with its slice alone, by itself
  (docs/decisions/0019). In the last two its worker computes nothing else.
* Random kills can hit an innocent document three times: in company, with its slice alone, by itself. Then it is
  quarantined like poison (`TEXTMILL_MAX_CRASHES` raises the number; the test of 200 kills does).
"""


def main(source: Path, target: Path) -> int:
    """Writes the page; 1 when a test failed, or has something in a column that must be 0."""
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    total = {name: sum(row.get(name, 0) for row in rows) for name in _BOOKS}
    all_passed = all(row["passed"] for row in rows)
    lines = [
        _HEAD,
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()}, {len(rows)} faults, seed {rows[0]['seed']}.\n",
        "| fault | injected | passed | " + " | ".join(_BOOKS) + " |",
        "|---|---|---|" + "---:|" * len(_BOOKS),
        *(_row(row) for row in rows),
        f"| **all** | | {_passed(all_passed)} | "
        + " | ".join(f"**{total[name]}**" for name in _BOOKS)
        + " |",
        _TAIL,
    ]
    target.write_text("\n".join(lines))
    return int(not all_passed or any(total[name] for name in _BOOKS[3:]))


def _row(row: dict[str, Any]) -> str:
    name = row["fault"].removeprefix("test_").replace("_", " ")
    facts = {key: value for key, value in row.items() if key not in (*_BOOKS, "fault", "seed", "passed")}
    told = ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in facts.items())
    return (
        f"| {name} | {told} | {_passed(row['passed'])} | "
        + " | ".join(str(row.get(name, "")) for name in _BOOKS)
        + " |"
    )


def _passed(has_passed: bool) -> str:
    return "yes" if has_passed else "**no**"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {number}" for key, number in value.items())
    return str(value)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
