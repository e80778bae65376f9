"""What lies in the data folder is its owner's only."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from jobs.errors import ConfigurationError
from jobs.privacy import is_own, make_private, refuse_foreign

WHO = os.geteuid()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_that_is_made_is_private_from_its_first_moment_and_making_it_again_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "a" / "b"
    before = os.umask(0)
    try:
        make_private(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    make_private(folder)
    assert mode(folder) == 0o700
    assert caplog.text == ""  # nobody could read it, so that it did not have to be closed


def test_a_folder_that_others_could_read_is_closed_with_what_is_in_it_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "ledger.db").touch()
    (folder / "ledger.db").chmod(0o644)
    (folder / "tool").touch()
    (folder / "tool").chmod(0o755)
    (folder / "link").symlink_to(tmp_path)
    (folder / "inner").mkdir()
    (folder / "inner").chmod(0o755)
    with caplog.at_level(logging.WARNING):
        make_private(folder)
    assert "data_folder_closed" in caplog.text
    assert [mode(folder), mode(folder / "ledger.db"), mode(folder / "tool")] == [0o700, 0o600, 0o700]
    assert mode(folder / "inner") == 0o755  # nobody gets there
    caplog.clear()
    make_private(folder)
    assert caplog.text == ""


@pytest.mark.parametrize("rights", [0o720, 0o702])
def test_a_folder_that_others_may_write_is_refused_as_it_is(tmp_path: Path, rights: int) -> None:
    tmp_path.chmod(rights)
    assert not is_own(tmp_path)
    for check in (make_private, refuse_foreign):
        with pytest.raises(ConfigurationError, match="others may write it"):
            check(tmp_path)
    assert mode(tmp_path) == rights
    tmp_path.chmod(0o700)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: WHO + 1)
    assert not is_own(tmp_path)
    with pytest.raises(ConfigurationError, match="belongs to somebody else"):
        refuse_foreign(tmp_path)


@pytest.mark.skipif(WHO != 0, reason="only root gives a file away")
def test_a_file_of_somebody_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    refuse_foreign(tmp_path)
    (tmp_path / "theirs").touch()
    os.chown(tmp_path / "theirs", WHO + 1, -1)
    with pytest.raises(ConfigurationError, match="somebody else owns theirs"):
        refuse_foreign(tmp_path)


def test_what_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert not is_own(tmp_path / "none")
    refuse_foreign(tmp_path / "none")


def test_others_rights_count_as_they_are_asked_for(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    secret.chmod(0o640)
    assert is_own(secret)
    assert not is_own(secret, rights=0o077)
    assert is_own(secret, rights=0o007)
