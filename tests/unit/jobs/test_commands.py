"""`python -m jobs.migrate` and `python -m jobs.backup`: what they do, say, and answer to the shell."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from jobs import backup, migrate
from jobs.store.database import Database
from jobs.store.migrate import check_schema, head_revision

Call = Callable[..., int]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder that is configured; what the programs do to the umask is undone."""
    monkeypatch.setenv("TEXTMILL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TEXTMILL_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    (tmp_path / "data").mkdir()
    yield tmp_path / "data"
    os.umask(before)


@pytest.fixture
def call(data: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    def run(main: Callable[[], int], *arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["program", *arguments])
        return main()

    return run


def ledger_of(data: Path) -> Path:
    (path,) = data.glob("*.db")
    return path


def test_migrate_brings_the_ledger_up_to_date_and_says_to_what(
    call: Call, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(migrate.main) == 0
    assert capsys.readouterr().err == f"the database is at schema {head_revision()}\n"
    database = Database(f"sqlite:///{ledger_of(data)}")
    check_schema(database)
    database.close()
    assert stat.S_IMODE(ledger_of(data).stat().st_mode) == 0o600


def test_what_was_saved_is_what_is_restored(
    call: Call, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(migrate.main)
    assert call(backup.main, "save", "saved.db") == 0
    assert "the ledger is saved to saved.db\n" in capsys.readouterr().err
    saved = data.parent / "saved.db"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    for path in data.iterdir():
        path.unlink()
    assert call(backup.main, "restore", "saved.db") == 0
    assert "the ledger is restored from saved.db\n" in capsys.readouterr().err
    assert ledger_of(data).stat().st_size > 0


@pytest.mark.parametrize(("main", "arguments"), [(migrate.main, ()), (backup.main, ("save", "saved.db"))])
def test_a_folder_that_others_may_write_is_an_error_and_not_touched(
    call: Call,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[], int],
    arguments: tuple[str, ...],
) -> None:
    data.chmod(0o777)
    assert call(main, *arguments) == 1
    assert capsys.readouterr().err.startswith("error: the data folder")
    assert list(data.iterdir()) == []


def test_a_verb_or_a_word_too_many_is_refused_with_the_usage(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        call(backup.main, "steal", "saved.db")
    assert "python -m jobs.backup" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call(migrate.main, "now")
    assert "python -m jobs.migrate" in capsys.readouterr().err


@pytest.mark.parametrize("program", [migrate, backup])
def test_help_says_what_it_is_for(
    call: Call, capsys: pytest.CaptureFixture[str], program: ModuleType
) -> None:
    with pytest.raises(SystemExit):
        call(program.main, "--help")
    told = " ".join(capsys.readouterr().out.split())
    assert (program.__doc__ or "").rpartition(": ")[2].strip() in told
