from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from jobs.settings import Settings
from textmill import doctor
from textmill.doctor import Check, Verdict
from textmill.errors import NoBroker
from textmill.stack.devices import Machine


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
    checks = examine(redis_url="redis://:hunter2@localhost:1", api_keys="hunter2", lease_seconds=9)
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
