"""The report: a score for each module, and every survivor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.mutants.outcomes import Outcome
from tests.mutants.survivors import Change, change_of

_HEAD = """# Mutants: would a test notice if this code were wrong?

Written by `make mutants`. It changes one thing in one function at a time (a comparison, a number, an argument, a text that
is no message) and runs the tests that reach that function, quick ones that run little else first, for some seconds of
tests at most. A change that none of them notices has *survived*: a test is missing, or nothing depends on it; those that
somebody has looked at stand with their reason in `tests/mutants/survivors.toml` (*accepted*). Not tried: what stands
outside functions, decorated functions, words that people read, log lines.

One process has collected every test and forks for each mutant; modules take turns, so that a run that is cut is a fair
sample, and `mutants/outcomes.jsonl` keeps what was found out: a second run tries the survivors again and goes on.
"""


def write(
    path: Path,
    tried: Sequence[Outcome],
    *,
    accepted: Mapping[Change, str],
    seed: int,
    per_module: int,
    num_made: int,
    num_late: int,
    seconds: float,
) -> None:
    """Writes the file anew."""
    survivors = {one.name: change_of(one.name) for one in tried if not one.is_noticed}
    is_accepted = {name for name, change in survivors.items() if change in accepted}
    facts = (
        f"\n{datetime.now(UTC):%Y-%m-%d}, seed {seed}: {len(tried)} of {num_made} mutants, at most {per_module} of a "
        f"module, in {seconds / 60:.0f} minutes; {num_late} more were chosen and the time was over.\n"
    )
    path.write_text(
        _HEAD + facts + _table(tried, is_accepted) + _list("Open", survivors, is_accepted, accepted)
        + _list("Accepted", survivors, set(survivors) - is_accepted, accepted)
    )  # fmt: skip


def _table(tried: Sequence[Outcome], accepted: set[str]) -> str:
    by_module: dict[str, list[Outcome]] = {}
    for one in tried:
        by_module.setdefault(one.module, []).append(one)
    rows = [_row(module, of_module, accepted) for module, of_module in sorted(by_module.items())]
    head = "\n| module | tried | noticed | accepted | open | score |\n|---|---:|---:|---:|---:|---:|\n"
    return head + "".join(rows) + _row("**all**", tried, accepted)


def _row(name: str, tried: Sequence[Outcome], accepted: set[str]) -> str:
    num_noticed = sum(one.is_noticed for one in tried)
    num_accepted = sum(one.name in accepted for one in tried)
    that_matter = len(tried) - num_accepted
    score = 100 * num_noticed / that_matter if that_matter else 100.0
    num_open = that_matter - num_noticed
    return f"| {name} | {len(tried)} | {num_noticed} | {num_accepted} | {num_open} | {score:.0f} % |\n"


def _list(
    title: str, survivors: Mapping[str, Change], without: set[str], accepted: Mapping[Change, str]
) -> str:
    lines = [f"\n## {title}\n"]
    for name, change in sorted(survivors.items()):
        if name not in without:
            reason = f" ({accepted[change]})" if change in accepted else ""
            lines.append(f"* `{change.where}`: `{change.was}` became `{change.became}`{reason}\n")
    return "".join(lines) if len(lines) > 1 else f"\n## {title}\nNone.\n"
