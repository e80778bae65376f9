"""Every model of the zoo comes out as transformers has it, alone and in company; or is refused at loading."""

from __future__ import annotations

import pytest

from tests.zoo.check import COMPANIES, Finding, check
from tests.zoo.entries import ENTRIES
from tests.zoo.entry import Entry
from tests.zoo.folders import Folders

#: What transformers has to say of tiny models and odd defaults is no finding of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

#: Large batches of all at once, and small ones of whoever comes.
_QUICK_COMPANIES = (COMPANIES[0], COMPANIES[-1])
_QUICK = [entry for entry in ENTRIES if entry.is_quick]
_REST = [entry for entry in ENTRIES if not entry.is_quick]


def _names(entries: list[Entry]) -> list[str]:
    return [f"{entry.task} {entry.name}" for entry in entries]


@pytest.mark.parametrize("entry", _QUICK, ids=_names(_QUICK))
def test_a_model_is_right_alone_and_in_company(entry: Entry, folders: Folders) -> None:
    _expect_right(check(entry, folders[entry], companies=_QUICK_COMPANIES))


@pytest.mark.slow
@pytest.mark.parametrize("entry", _REST, ids=_names(_REST))
def test_a_rarer_model_is_right_alone_and_in_any_company(entry: Entry, folders: Folders) -> None:
    _expect_right(check(entry, folders[entry]))


@pytest.mark.slow
@pytest.mark.parametrize("entry", _QUICK, ids=_names(_QUICK))
def test_a_model_is_right_in_any_company(entry: Entry, folders: Folders) -> None:
    _expect_right(check(entry, folders[entry]))


def _expect_right(finding: Finding) -> None:
    assert [*finding.alone, *finding.company] == []
    if finding.entry.is_promised:
        assert finding.refused is None
        assert finding.facts.get("proven", True), finding.facts.get("why")
        assert finding.way != "one at a time", finding.facts.get("why")
