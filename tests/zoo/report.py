"""From the zoo's findings to `docs/models.md`.

python -m tests.zoo.report docs/models.md [--processes N]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.zoo.check import BATCH_SIZES, ORDERS, Finding
from tests.zoo.entries import ENTRIES
from tests.zoo.run import check_all

_HEAD = """# Models: what decodes how, and whether it is right

Written by `make zoo`: do not edit. Every line is a tiny random model that the tests make from a config of transformers
{transformers} (`tests/zoo`), with the tokenizer named and weights under which inputs matter, in float32 on a CPU. Its
documents are of {shortest} and more tokens, around and beyond the windows, chunks and switches of its config; those that
are decoded go greedily, by beams, sampled with a seed, with penalties and with minimum lengths.

*Same* means both: each document alone comes out as transformers has it on that document alone, and in company, in
{orders} orders of arrival and with batches of {sizes} tokens, it comes out as it does alone. *Refused*
means that loading says why the model is not served. Nothing may say *differs*.

*Way* is how documents are computed: `continuous`, `batches`, `batches of equal length`, `one at a time`; *by* is what
decodes. *Proven*: a probe at loading found this way equal to the model's own plain forward pass; *why* says what keeps
a model, or its longer documents, from a faster way.
"""
_TITLES = {
    "generation": "Generation",
    "translation": "Translation",
    "sentiment": "Sentiment",
    "qa": "Question answering",
}


def page(findings: Sequence[Finding]) -> str:
    """The page, the same each time for the same findings."""
    counts = Counter(finding.status.partition(":")[0] for finding in findings)
    architectures = len({finding.entry.model for finding in findings})
    parts = [
        _HEAD.format(
            transformers=version("transformers"), shortest="1", orders=len(ORDERS),
            sizes=" and ".join(f"{size:,}" for size in BATCH_SIZES),
        ),
        f"{len(findings)} models of {architectures} classes: "
        + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) + ".\n",
    ]  # fmt: skip
    for task, title in _TITLES.items():
        rows = [_row(finding) for finding in findings if finding.entry.task == task]
        parts.append(f"## {title}\n{_COLUMNS}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


_COLUMNS = (
    "| model | class | tokenizer | way | by | proven | checked | why |\n|---|---|---|---|---|---|---|---|"
)


def _row(finding: Finding) -> str:
    entry, facts = finding.entry, finding.facts
    proven = {True: "yes", False: "no"}.get(facts.get("proven"), "")  # type: ignore[arg-type]
    if facts.get("proven_tokens"):
        proven = f"to {facts['proven_tokens']} tokens"
    cells = (
        entry.name,
        entry.model,
        entry.tokenizer,
        finding.way,
        str(facts.get("decoded_by", "")),
        proven,
        finding.status.partition(":")[0],
        (finding.refused or str(facts.get("why", ""))).replace(str(Path.cwd()), "."),
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def main(arguments: Sequence[str]) -> int:
    """Writes the page; 1 when a model differs."""
    parser = argparse.ArgumentParser(description="Writes what the zoo says.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args(arguments)
    findings = []
    for finding in check_all(ENTRIES, processes=asked.processes):
        print(f"{finding.status[:60]:10} {finding.entry.task} {finding.entry.name}", flush=True)  # noqa: T201
        findings.append(finding)
    asked.target.write_text(page(findings), encoding="utf-8")
    return int(any(finding.status == "differs" for finding in findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
