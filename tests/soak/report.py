"""From the findings of a soak to `docs/soak.md`."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from tests.soak.clients import CLIENTS
from tests.soak.findings import Findings, Latency
from tests.soak.memory import Growth
from tests.soak.singles import PROMISED_SECONDS, RECOVERY_SECONDS, Single, apart
from tests.soak.tally import NO_ANSWER

_MEBI = 1 << 20
_HEAD = """# Soak: mixed load for {minutes:.0f} minutes, with kills

Written by `make soak` (`SOAK_MINUTES` sets its length): do not edit. A real `textmill up` with two workers, SQLite, the
embedded broker, two bundled models in float32 and one that computes nothing. Clients submit bulk jobs and single
interactive documents, upload slowly, leave and stop half way, watch by events and long polls, cancel, retry and
delete, while Redis, a worker and, near the beginning and the end, the API and both workers are killed. What comes back is
compared, document by document, with what transformers alone makes of the same text.
"""


def page(found: Findings) -> str:
    """The page."""
    parts = [
        _HEAD.format(minutes=found.minutes),
        f"{found.begun_at:%Y-%m-%d %H:%M} UTC, {platform.system()}, {found.num_cores} cores; load average "
        f"{found.mean_load:.1f}. On average {found.own_cores:.2f} cores were busy with this run and "
        f"{found.other_cores:.2f} with other work on the machine.",
        *(f"\n{note}" for note in found.notes),
        "\n## Aims\n",
        _table(
            ("aim", "found", "met"),
            ((aim.words, aim.figure, "yes" if aim.is_met else "**no**") for aim in found.aims),
        ),
        "\n## Documents\n",
        f"{found.num_accepted:,} jobs were accepted; {found.num_jobs_checked:,} times a job was read to its end, "
        f"{found.num_documents_checked:,} documents in all. The books at the end: "
        + ", ".join(f"{name} {number}" for name, number in found.books.items()) + ".",
        *(f"* {words}" for words in found.wrong[:20]),
        "\n## A submit of one document\n",
        _latencies(found),
        "\nOnly submits that were answered 202 count: while the API is down there is no answer to time.",
        "\n## An interactive document beside bulk work\n",
        "From before its submit until its result is read, apart for those whose API, worker or Redis was killed or frozen "
        f"meanwhile or in the {RECOVERY_SECONDS:.0f} s before: what a dead worker held runs again when its lease of 30 s "
        "has run out.\n",
        _singles(found),
        "\n## Memory (RSS)\n",
        "Medians over the first and the last quarter of the time that a process lived after it had settled; those that "
        "did not live long enough are left out.\n",
        _memory(found.growths, found.clock_zero),
        "\n## Answers\n",
        _answers(found.answers),
        "\n## What was done\n",
        _table(("fault", "times"), sorted((kind, str(n)) for kind, n in found.faults_done.items())),
        "",
        _table(
            ("client", "number", "rests, seconds"),
            ((c.turn.__name__.replace("_", " "), str(c.number), f"{c.rest_seconds:g}") for c in CLIENTS),
        ),
        "",
        _table(("what clients met beside answers", "times"), _counted(found.events)),
        "",
        _table(("errors in the logs of the stack", "lines"), _counted(found.log_errors)),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _latencies(found: Findings) -> str:
    def row(name: str, of: Latency) -> tuple[str, ...]:
        return name, f"{of.number:,}", *(f"{1000 * seconds:.1f}" for seconds in (of.p50, of.p99, of.longest))

    return _table(
        ("", "number", "p50, ms", "p99, ms", "longest, ms"),
        [
            row(f"idle, {found.idle_minutes:.0f} minutes, half before and half after the load", found.idle),
            row("under load", found.loaded),
        ],
    )


def _singles(found: Findings) -> str:
    spared, met = apart(found.singles, found.fault_times)

    def row(name: str, singles: Sequence[Single], seconds: Callable[[Single], float]) -> tuple[str, ...]:
        of = Latency.of([seconds(single) for single in singles])
        late = sum(seconds(single) > PROMISED_SECONDS for single in singles)
        return name, f"{of.number:,}", *(f"{s:.2f}" for s in (of.p50, of.p99, of.longest)), str(late)

    return _table(
        ("", "number", "p50, s", "p99, s", "longest, s", f"over {PROMISED_SECONDS:.0f} s"),
        [
            row("nothing was killed or frozen", spared, lambda single: single.seconds),
            row("of these: accepted, until a worker had it", spared, lambda single: single.waiting_seconds),
            row("of these: until its result was stored", spared, lambda single: single.working_seconds),
            row("something was", met, lambda single: single.seconds),
        ],
    )


def _memory(growths: Sequence[Growth], zero: float) -> str:
    return _table(
        ("process", "from minute", "to minute", "first, MiB", "last, MiB", "highest, MiB", "change"),
        (
            (
                growth.role, f"{(growth.begin - zero) / 60:.0f}", f"{(growth.end - zero) / 60:.0f}",
                *(f"{size / _MEBI:.0f}" for size in (growth.first_bytes, growth.last_bytes, growth.highest_bytes)),
                f"{growth.share:+.1%}",
            )
            for growth in growths
        ),
    )  # fmt: skip


def _answers(answers: Counter[tuple[str, int]]) -> str:
    by_request: dict[str, list[str]] = defaultdict(list)
    for (request, status), number in sorted(answers.items()):
        name = "none" if status == NO_ANSWER else str(status)
        by_request[request].append(f"{name}: {number:,}")
    return _table(("request", "statuses"), ((f"`{r}`", ", ".join(told)) for r, told in by_request.items()))


def _counted(counts: Counter[str]) -> list[tuple[str, str]]:
    return [(words, str(number)) for words, number in counts.most_common(20)] or [("none", "0")]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
