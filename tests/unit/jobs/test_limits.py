"""What a project and a key may use, as it is written and as it is refused."""

from __future__ import annotations

import pytest

from jobs.limits import LIMITS, check_limits, parse_limits


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("requests_per_minute=600", {"requests_per_minute": 600}),
        (
            "queued_documents=1,queued_tokens=2  stored_bytes=3",
            {"queued_documents": 1, "queued_tokens": 2, "stored_bytes": 3},
        ),
        ("interactive_documents=0", {"interactive_documents": 0}),
        (f"stored_bytes={2**53 - 1}", {"stored_bytes": 2**53 - 1}),
    ],
)
def test_limits_are_read_as_they_are_written(text: str, limits: dict[str, int]) -> None:
    assert parse_limits(text) == limits


@pytest.mark.parametrize(
    "text", ["600", "queued_documents", "queued_documents=", "queued_documents=-1", "queued_documents=1.5"]
)
def test_what_is_no_name_with_a_number_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}': write NAME=NUMBER, such as requests_per_minute=600"):
        parse_limits(text)


@pytest.mark.parametrize("name", LIMITS)
def test_an_amount_beyond_its_bounds_is_refused_with_both(name: str) -> None:
    """One that was too large heard that it must be at least 1."""
    least = 0 if name == "interactive_documents" else 1
    for amount in (least - 1, 2**53):
        with pytest.raises(ValueError, match=f"{name} must be at least {least}, and {2**53 - 1} at most"):
            check_limits({name: amount})
    assert check_limits({name: least}) == {name: least}


def test_an_unknown_name_is_refused_with_those_there_are_and_cut_short() -> None:
    with pytest.raises(
        ValueError, match="there is no limit 'speed'; there are requests_per_minute, key_requests"
    ):
        check_limits({"speed": 1})
    with pytest.raises(ValueError, match=f"'{'x' * 80}'; "):
        check_limits({"x" * 81: 1})
