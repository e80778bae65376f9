"""The largest scores of a row, against numpy's sort."""

from __future__ import annotations

import numpy as np
import pytest

from models.decoding.sampling.largest import largest, largest_ids, top_of


@pytest.mark.parametrize("size", [1, 5, 127, 1000, 50_257])
@pytest.mark.parametrize("count", [1, 3, 50, 700])
@pytest.mark.parametrize("kind", ["all differ", "many are level", "most are banned"])
def test_they_are_those_that_a_sort_puts_first_and_whoever_is_level_with_the_last(
    size: int, count: int, kind: str
) -> None:
    draw = np.random.default_rng(size + count)
    scores = draw.standard_normal(size).astype(np.float32) * 5
    if kind == "many are level":
        scores = np.round(scores)  # -0 among them, which is 0
    if kind == "most are banned":
        scores[draw.random(size) < 0.9] = -np.inf
    count = min(size, count)
    least = np.sort(scores)[-count]
    assert largest_ids(scores, count).tolist() == np.flatnonzero(scores >= least).tolist()
    assert largest(scores) == (int(np.argmax(scores)), False)


@pytest.mark.parametrize("least", [-3.0, 0.5])
@pytest.mark.parametrize("level", ["-0", "minus infinity", "none"])
def test_the_largest_is_numpys_whatever_the_signs(least: float, level: str) -> None:
    scores = np.linspace(least, least + 1, 333, dtype=np.float32)[::-1].copy()
    if level != "none":
        scores[7:] = -np.inf if level == "minus infinity" else -0.0
    assert top_of(scores) == scores.max()
    assert largest(scores) == (int(np.argmax(scores)), False)
    assert largest(np.full(200, -np.inf, np.float32)) == (0, False)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf])
def test_one_that_is_no_number_is_seen_wherever_it_stands(bad: float) -> None:
    for place in (0, 130, 999):
        scores = np.linspace(-1, 1, 1000, dtype=np.float32)
        scores[place] = bad
        assert largest(scores)[1]
