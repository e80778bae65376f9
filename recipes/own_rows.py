"""A user's own labelled rows, from a CSV file, split so that no test row was trained on."""

from __future__ import annotations

import csv
from pathlib import Path

from recipes.goemotions import Labelled
from recipes.splits import split_of


def read_csv(path: Path, text: str, label: str) -> tuple[list[str], dict[str, list[Labelled]]]:
    """The names of the labels, and the rows by what they are for.

    Raises:
        SystemExit: a column or label is missing, or there are too few rows; the message says which.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in (text, label) if name not in (reader.fieldnames or ())]
        if missing:
            raise SystemExit(f"{path}: no column {missing[0]!r}; it has {', '.join(reader.fieldnames or ())}")
        found = [(row[text] or "", (row[label] or "").strip(), reader.line_num) for row in reader]
    for body, name, line in found:
        if not body.strip() or not name:
            raise SystemExit(f"{path}, line {line}: the {'text' if name else 'label'} is empty")
    names = sorted({name for _, name, _ in found})
    rows: dict[str, list[Labelled]] = {"train": [], "dev": [], "test": []}
    for body, name, _ in found:  # equal texts never part, so no test row was trained on
        rows[split_of(body, dev_share=0.1, test_share=0.1)].append(Labelled(body, names.index(name)))
    if len(names) < 2 or not all(rows.values()):
        raise SystemExit(
            f"{path}: need at least two labels and a few dozen rows; found {len(found)} rows, {names}"
        )
    return names, rows
