"""In which company a slice runs after its process died, and what proves a document guilty."""

from __future__ import annotations

import pytest

from jobs.isolation import Isolation, is_guilty, is_hopeless, isolation


@pytest.mark.parametrize(
    ("is_suspect", "crash_count", "num_documents", "expected"),
    [
        (False, 0, 8, Isolation.NONE),
        (False, 5, 8, Isolation.NONE),
        (True, 1, 8, Isolation.SLICE),
        (True, 1, 2, Isolation.SLICE),
        (True, 1, 1, Isolation.DOCUMENT),  # its slice is no company
        (True, 2, 8, Isolation.DOCUMENT),
        (True, 7, 8, Isolation.DOCUMENT),
    ],
)
def test_company_gets_smaller_with_each_crash(
    is_suspect: bool, crash_count: int, num_documents: int, expected: Isolation
) -> None:
    assert isolation(is_suspect=is_suspect, crash_count=crash_count, num_documents=num_documents) is expected


@pytest.mark.parametrize(
    ("alone", "in_company", "most", "expected"),
    [
        (1, 2, 3, True),  # in company, with its slice, by itself
        (1, 1, 3, False),
        (2, 1, 3, True),
        (1, 8, 4, False),  # however often it was in bad company
        (2, 8, 4, True),
        (1, 0, 1, True),
    ],
)
def test_two_crashes_in_company_count_at_most(alone: int, in_company: int, most: int, expected: bool) -> None:
    assert is_guilty(crashes_alone=alone, crashes_in_company=in_company, max_crashes=most) is expected


def test_a_slice_is_given_up_after_three_crashes_for_each_that_a_document_may_have() -> None:
    assert [count for count in range(12) if is_hopeless(crash_count=count, max_crashes=3)] == [9, 10, 11]
