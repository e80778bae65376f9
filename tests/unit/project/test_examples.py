"""The examples that `make demo` and the README run."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_demo_has_at_least_200_documents_of_all_four_tasks_in_mixed_lengths() -> None:
    rows = [json.loads(line) for line in (EXAMPLES / "documents.jsonl").read_text().splitlines()]
    assert len(rows) >= 200
    assert len({row["custom_id"] for row in rows}) == len(rows)
    assert min(Counter(row["task"] for row in rows).values()) >= 40
    for task in ("generation", "translation", "sentiment", "qa"):
        lengths = [len(row["text"] + row.get("context", "")) for row in rows if row["task"] == task]
        assert max(lengths) > 1.5 * min(lengths)


def test_the_reviews_have_the_column_the_readme_names() -> None:
    with (EXAMPLES / "reviews.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 20
    assert all(row["review"] for row in rows)
