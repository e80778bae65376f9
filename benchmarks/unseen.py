"""What the models make of texts that were written before they were trained: all of it, good and bad.

    python -m benchmarks.unseen [--model sentiment=FOLDER] [--before sentiment=FOLDER]

Runs `benchmarks/unseen.jsonl` through a server and prints one line of Markdown for each document.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.served import served
from textmill.client import Textmill

_DOCUMENTS = Path(__file__).with_name("unseen.jsonl")


def main() -> int:
    """Prints what came out, of the models before beside that of the others where both are named."""
    options = _options()
    rows = [json.loads(line) for line in _DOCUMENTS.read_text(encoding="utf-8").splitlines()]
    columns = {}
    for title, models in (("before", options.before), ("now", options.model)):
        if models or title == "now":
            with served(dict(models)) as server:
                columns[title] = _said(server, rows)
    print("\n".join(_table(rows, columns)))
    return 0


def _said(server: Textmill, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    results = server.submit([dict(row) for row in rows]).wait().results()
    return [_shown(result.output) if result.output else str(result.error) for result in results]


def _shown(output: Mapping[str, Any]) -> str:
    """An output as a reader wants it: what was said, and how sure of it the model is."""
    said = output.get("label", output.get("answer", output.get("text"))) or "(no answer)"
    return f"{said} ({output['score']:.2f})" if "score" in output else str(said)


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [f"| document | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for number, row in enumerate(rows):
        cells = [row["text"], *(column[number] for column in columns.values())]
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, words in (("--model", "instead of the bundled one"), ("--before", "to show beside it")):
        parser.add_argument(
            name, type=_task_and_folder, action="append", default=[], metavar="TASK=FOLDER", help=words
        )
    return parser.parse_args()


def _task_and_folder(text: str) -> tuple[str, str]:
    task, equals, folder = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not TASK=FOLDER")
    return task, folder


if __name__ == "__main__":
    sys.exit(main())
