"""What a client is shown of a text that attempts tell piece by piece: never twice, never two things."""

from __future__ import annotations

import random

import pytest

from api.calls.heard import Contradicted, Heard
from jobs.watching import Told


def told(attempt: int, start: int, text: str) -> Told:
    return Told(attempt=attempt, start=start, text=text)


def test_a_second_attempt_is_silent_until_it_has_said_what_was_shown() -> None:
    heard = Heard()
    assert heard.take(told(1, 0, "one two ")) == "one two "
    assert [heard.take(told(2, 0, "one ")), heard.take(told(2, 4, "two th"))] == ["", "th"]
    assert heard.take(told(1, 8, "three")) == ""  # of a worker that lost its lease
    assert heard.rest("one two three") == "ree"


def test_a_lost_piece_waits_for_the_result() -> None:
    heard = Heard()
    assert heard.take(told(1, 0, "one ")) == "one "
    assert heard.take(told(1, 8, "three ")) == ""
    assert heard.rest("one two three ") == "two three "


def test_a_piece_that_comes_twice_is_shown_once() -> None:
    heard = Heard()
    assert [heard.take(told(1, 0, "one ")), heard.take(told(1, 0, "one two "))] == ["one ", "two "]


def test_an_attempt_that_says_something_else_is_not_shown_and_the_result_contradicts() -> None:
    heard = Heard()
    assert heard.take(told(1, 0, "one ")) == "one "
    assert heard.take(told(2, 0, "eins zwei")) == ""
    with pytest.raises(Contradicted):
        heard.rest("eins zwei")


def test_whatever_is_lost_doubled_or_begun_again_all_that_is_shown_is_the_text() -> None:
    draw = random.Random(5)
    for _ in range(500):
        text = "".join(draw.choices("abc", k=draw.randint(0, 30)))
        heard, shown, attempt, place = Heard(), "", 1, 0
        for _ in range(30):
            if draw.random() < 0.1:
                attempt, place = attempt + 1, 0
            end = min(len(text), place + draw.randint(0, 5))
            if draw.random() < 0.9:
                shown += heard.take(told(max(1, attempt - draw.choice([0, 0, 0, 1])), place, text[place:end]))
            place = end if draw.random() < 0.9 else place
            assert text.startswith(shown)
        assert shown + heard.rest(text) == text
