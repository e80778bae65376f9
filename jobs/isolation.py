"""Which document killed its process: found in ever smaller company (decision 19).

A slice that was on the device when its process died runs again with the device to itself.
If it kills that process too, its documents run one at a time. Whoever has the device
alone says so first, and a death is laid at its door and at nobody else's.
"""

from __future__ import annotations

from enum import IntEnum

#: Stands where a document's `seq` would: all open documents of the slice are on the device.
WHOLE_SLICE = -1
#: How many deaths in company are counted against a document: among all, and among its slice.
_MOST_IN_COMPANY = 2
#: A slice that crashes so often, for each crash a document may have, with nobody to blame is given up.
_HOPELESS = 3


class Isolation(IntEnum):
    """Who may be on the device together with a document."""

    NONE = 0  #: anybody
    SLICE = 1  #: the open documents of its slice
    DOCUMENT = 2  #: nobody


def isolation(*, is_suspect: bool, crash_count: int, num_documents: int) -> Isolation:
    """How a slice is to run.

    Args:
        is_suspect: whether it was on the device when its process died.
        crash_count: how often that was, but for the deaths of documents that ran by themselves.
        num_documents: of it that are open; a single one is by itself in any case.
    """
    if not is_suspect:
        return Isolation.NONE
    is_in_company = crash_count < _MOST_IN_COMPANY and num_documents > 1
    return Isolation.SLICE if is_in_company else Isolation.DOCUMENT


def is_guilty(*, crashes_alone: int, crashes_in_company: int, max_crashes: int) -> bool:
    """Whether a document that has just killed a process by itself is quarantined.

    Args:
        crashes_alone: of processes that computed nothing else.
        crashes_in_company: of its slice; more than two prove nothing about one document.
        max_crashes: that a document may have in all.
    """
    return crashes_alone + min(crashes_in_company, _MOST_IN_COMPANY) >= max_crashes


def is_hopeless(*, crash_count: int, max_crashes: int) -> bool:
    """Whether a slice is given up that never got as far as running alone."""
    return crash_count >= _HOPELESS * max_crashes
