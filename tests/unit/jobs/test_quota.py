"""How much one owner may have queued and stored, to the last document, token and byte."""

from __future__ import annotations

import pytest

from jobs.errors import Overloaded, OverQuota, PayloadTooLarge, TextmillError
from jobs.quota import Queued, Quota
from jobs.records import Priority
from jobs.settings import Settings

QUOTA = Quota(documents=10, tokens=1000, interactive_documents=4, stored_bytes=500)


@pytest.mark.parametrize(
    ("queued", "more"),
    [
        (Queued(), Queued(documents=10, tokens=1000, stored_bytes=500)),
        (
            Queued(documents=7, tokens=400, stored_bytes=200),
            Queued(documents=3, tokens=600, stored_bytes=300),
        ),
        (Queued(documents=10, tokens=1000, stored_bytes=500), Queued()),
    ],
    ids=["nothing queued", "the rest", "nothing more"],
)
def test_an_owner_may_have_all_of_each(queued: Queued, more: Queued) -> None:
    QUOTA.check(queued, more)


@pytest.mark.parametrize(
    ("queued", "more", "refusal", "words"),
    [
        (Queued(), Queued(documents=11), PayloadTooLarge, "11 documents.*have 10.*MAX_OWNER_DOCUMENTS"),
        (Queued(), Queued(tokens=1001), PayloadTooLarge, "1001 tokens of work.*have 1000.*MAX_OWNER_TOKENS"),
        (
            Queued(documents=8),
            Queued(documents=3),
            Overloaded,
            "8 documents.*has 3.*have 10.*queued_documents",
        ),
        (Queued(tokens=900), Queued(tokens=101), Overloaded, "900 tokens.*has 101.*have 1000.*queued_tokens"),
        (Queued(), Queued(stored_bytes=501), PayloadTooLarge, "501 bytes.*store 500"),
        (Queued(stored_bytes=400), Queued(stored_bytes=101), OverQuota, "stores 400 bytes.*store 500"),
    ],
)
def test_one_more_is_refused_with_what_there_is_and_what_may_be(
    queued: Queued, more: Queued, refusal: type[TextmillError], words: str
) -> None:
    """For good when it would never fit, else for now."""
    with pytest.raises(refusal, match=words):
        QUOTA.check(queued, more)


def test_who_has_too_much_queued_is_told_when_to_come_back() -> None:
    with pytest.raises(Overloaded) as refused:
        QUOTA.check(Queued(documents=10), Queued(documents=1))
    assert refused.value.retry_after_seconds == 30


def test_without_a_bound_any_number_of_bytes_may_be_stored() -> None:
    Quota(documents=1, tokens=1, interactive_documents=1).check(Queued(), Queued(stored_bytes=10**15))


def test_a_projects_own_limits_go_before_the_settings() -> None:
    settings = Settings(max_owner_documents=7, max_owner_tokens=70, max_interactive_documents=5)
    assert Quota.of(settings, {}) == Quota(documents=7, tokens=70, interactive_documents=5, stored_bytes=None)
    own = Quota.of(settings, {"queued_documents": 8, "queued_tokens": 80, "stored_bytes": 9})
    assert own == Quota(documents=8, tokens=80, interactive_documents=5, stored_bytes=9)


@pytest.mark.parametrize(
    ("queued", "more", "expected"),
    [
        (0, 4, Priority.INTERACTIVE),
        (3, 1, Priority.INTERACTIVE),
        (3, 2, Priority.BULK),
        (0, 5, Priority.BULK),
    ],
)
def test_interactive_work_beyond_its_budget_is_taken_as_bulk(
    queued: int, more: int, expected: Priority
) -> None:
    has = Queued(interactive_documents=queued)
    assert QUOTA.priority_for(Priority.INTERACTIVE, has, more) is expected
    assert QUOTA.priority_for(Priority.BULK, has, more) is Priority.BULK
