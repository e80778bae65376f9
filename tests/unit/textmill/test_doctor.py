from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from jobs.settings import Settings
from textmill import doctor
from textmill.errors import NoBroker
from textmill.findings import Check, Verdict
from textmill.stack.devices import Machine
from textmill.stack.folder import DataFolder


@pytest.fixture(autouse=True)
def _machine_without_surprises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "look_around", lambda: Machine(num_gpus=0, num_sockets=1, num_cores=2))
    monkeypatch.chdir(tmp_path)


def examine(**settings: object) -> dict[str, Check]:
    return {check.name: check for check in doctor.examine(Settings.load(**settings))}


def test_a_missing_broker_is_a_finding_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none() -> None:
        raise NoBroker("no Redis-compatible server found")

    monkeypatch.setattr(doctor, "find_server", find_none)
    checks = examine()
    assert checks["broker"].verdict is Verdict.MISSING
    assert "database" in checks


def test_a_given_broker_that_is_silent_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ping", lambda url: None)
    check = examine(redis_url="redis://localhost:1")["broker"]
    assert check.verdict is Verdict.MISSING
    assert check.remedy


def test_a_given_broker_that_answers_is_shown_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ping", lambda url: {"redis_version": "7.2.4"})
    assert examine(redis_url="redis://localhost:1")["broker"].text.startswith("Redis 7.2.4")


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ping", lambda url: {"redis_version": "7.2.4"})
    checks = examine(redis_url="redis://:hunter2@localhost:1", api_keys="hunter2" * 3, lease_seconds=9)
    assert not any("hunter2" in check.text for check in checks.values())
    assert "TEXTMILL_LEASE_SECONDS=9" in checks["settings"].text


def test_a_database_not_made_yet_is_no_fault(tmp_path: Path) -> None:
    assert examine(data=tmp_path / "fresh")["database"].verdict is Verdict.OK


def test_a_damaged_database_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "textmill.db").write_bytes(b"this is no database" * 100)
    assert examine(data=tmp_path)["database"].verdict is Verdict.MISSING


def test_a_migrated_database_shows_its_schema(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "textmill.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0007')")
    assert "schema 0007" in examine(data=tmp_path)["database"].text


def test_a_model_folder_that_is_not_there_is_missing() -> None:
    checks = list(doctor.examine(Settings.load(models=("sentiment=./nowhere",))))
    assert any(check.verdict is Verdict.MISSING and "./nowhere" in check.text for check in checks)


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file"


def test_h18_a_data_folder_that_cannot_be_written_is_missing(tmp_path: Path, a_file: Path) -> None:
    """H18: "ok data" for a folder in which nothing can be written."""
    for data in (a_file, a_file / "below", a_file / "far" / "below"):
        check = examine(data=data)["data"]
        assert check.verdict is Verdict.MISSING
        assert str(a_file) in check.text
        assert "TEXTMILL_DATA" in check.remedy


@pytest.mark.parametrize("name", ["there", "not-yet/there"])
def test_h18_a_folder_without_the_right_to_write_is_missing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H18: modes, read-only mounts and quotas alike: it is tried."""
    (tmp_path / "there").mkdir()

    def refuse(*_args: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(options.get("dir")))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    check = examine(data=tmp_path / name)["data"]
    assert check.verdict is Verdict.MISSING
    assert "Read-only file system" in check.text


def test_h18_a_system_folder_is_missing_even_for_a_superuser() -> None:
    """H18: no mode forbids it to a superuser, and still it cannot be written."""
    assert examine(data=Path("/proc/textmill"))["data"].verdict is Verdict.MISSING


def test_trying_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert examine(data=tmp_path / "data")["data"].verdict is Verdict.OK
    assert examine(data=tmp_path / "new" / "data")["data"].verdict is Verdict.OK
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data"]


@pytest.mark.parametrize("name", ["logs", "textmill.db"])
def test_h18_what_somebody_else_left_in_the_folder_is_named(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H18: the folder is ours, a database or logs of another user in it are not."""
    (tmp_path / name).touch()
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != name and access(path, mode))
    check = examine(data=tmp_path)["data"]
    assert check.verdict is Verdict.MISSING
    assert name in check.text


def test_h18_a_database_file_that_cannot_be_written_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.db"
    path.touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    check = examine(data=tmp_path, database_url=f"sqlite:///{path}")["database"]
    assert check.verdict is Verdict.MISSING
    assert str(path) in check.text


def test_h18_a_database_in_a_place_that_cannot_be_is_missing(a_file: Path) -> None:
    check = examine(data=a_file.parent, database_url=f"sqlite:///{a_file}/deep/textmill.db")["database"]
    assert check.verdict is Verdict.MISSING


def test_a_folder_that_another_up_holds_is_told_before_it_is_announced(tmp_path: Path) -> None:
    settings = Settings.load(data=tmp_path)
    assert doctor.running_here(settings) is None
    held = DataFolder(tmp_path)
    held.hold()
    found = doctor.running_here(settings)
    assert found is not None
    assert found.verdict is Verdict.NOTE
    held.let_go()
    assert doctor.running_here(settings) is None


def test_a_wrong_catalogue_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "textmill.toml").write_text("[[models]\n")
    assert examine(data=tmp_path)["models"].verdict is Verdict.MISSING


def test_h16_a_folder_of_old_weights_is_missing_with_the_way_to_convert_it(tmp_path: Path) -> None:
    """H16: it was accepted, and every document said "no file named model.safetensors"."""
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    (tmp_path / "pytorch_model.bin").touch()
    found = [
        check
        for check in doctor.examine(Settings.load(models=(f"sentiment={tmp_path}",), data=tmp_path / "data"))
        if check.verdict is Verdict.MISSING
    ]
    assert len(found) == 1
    assert "pytorch_model.bin" in found[0].text
    assert "save_pretrained" in found[0].remedy


def test_l16_a_model_for_a_device_that_is_not_here_is_told(tmp_path: Path) -> None:
    (tmp_path / "textmill.toml").write_text('[[models]]\ntask = "qa"\nref = "noop:q"\ndevice = "cuda:1"\n')
    told = [check for check in doctor.examine(Settings.load(data=tmp_path)) if "cuda:1" in check.text]
    assert [check.verdict for check in told] == [Verdict.NOTE]
    assert "--device cuda:1" in told[0].remedy
