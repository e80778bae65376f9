"""The same exclusions on the real data sets; `TEXTMILL_DATA` names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recipes import qa_rows, sentiment_rows
from recipes.group_audit import filled_templates
from recipes.heldout import is_kept, key_of, read_held_out

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "TEXTMILL_DATA" not in os.environ, reason="TEXTMILL_DATA names no folder of data sets"
    ),
]


def test_nothing_that_is_trained_on_is_held_out_or_audited() -> None:
    """Issue 20: exclusions by heldout.sha256; the fairness sets are for the audit alone."""
    data = Path(os.environ["TEXTMILL_DATA"])
    kept = read_held_out(data)
    assert kept
    texts = [row.text for rows in sentiment_rows.training_rows(data, seed=1).values() for row in rows]
    questions = qa_rows.training_questions(data, seed=1)
    assert not [text for text in texts if is_kept(text, kept)]
    assert not [q for q in questions if is_kept(q.text, kept) or is_kept(q.context, kept)]
    audited = {key_of(row.text) for row in filled_templates(data / "fairness" / "holistic-bias") if row.axis}
    assert not [text for text in texts if key_of(text) in audited]
