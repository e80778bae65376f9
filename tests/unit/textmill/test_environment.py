"""What the programs of `textmill up` get of the environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jobs.settings import Settings
from tests.support.waiting import wait_until
from textmill.stack import flower
from textmill.stack.broker import EmbeddedBroker
from textmill.stack.child import Program, python, spawn
from textmill.stack.devices import WorkerPlan
from textmill.stack.environment import without_keys
from textmill.stack.plan import (
    api_program,
    migration_program,
    shared_environment,
    who_may_enter,
    worker_program,
)
from textmill.stack.server_binary import ServerBinary

KEYS = {
    "TEXTMILL_API_KEYS": "k" * 16,
    "TEXTMILL_ADMIN_KEY": "a" * 16,
    "TEXTMILL_SECRET": "s" * 32,
    "TEXTMILL_API_KEYS_FILE": "/run/secrets/keys",
}
DATABASE = {
    "TEXTMILL_DATABASE_URL": "postgresql://u:word@db/t",
    "TEXTMILL_DATABASE_URL_FILE": "/run/db",
    "PGPASSFILE": "/run/pgpass",
}
BROKER = {"TEXTMILL_REDIS_URL": "redis://:word@redis:6379/0"}
HUB = {"HF_TOKEN": "hf_x", "HF_HOME": "/somewhere/of/the/hub"}
STRANGE = {
    "AWS_SECRET_ACCESS_KEY": "x",
    "OPENAI_API_KEY": "x",
    "TEXTMILL_API_KEY": "client",
    "GITHUB_TOKEN": "ghp_foreign",
}
USUAL = {"LC_ALL": "C.UTF-8", "https_proxy": "http://proxy:3128", "PYTHONFAULTHANDLER": "1"}
SET = {**KEYS, **DATABASE, **BROKER, **HUB, **STRANGE, **USUAL, "TEXTMILL_WINDOW": "9", "SITE_SETTING": "1"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Program]:
    for name in [name for name in os.environ if name.startswith("TEXTMILL_")]:
        monkeypatch.delenv(name)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    settings = Settings(data=tmp_path)  # without reading the files that are named
    shared = shared_environment(settings, folder=tmp_path, broker_url=BROKER["TEXTMILL_REDIS_URL"], port=8000)
    plan = WorkerPlan(name="cpu0", device="cpu", threads=1)
    binary = ServerBinary(path=Path("valkey-server"), name="Valkey", version="9.1.2", origin="here")
    return {
        "api": api_program(shared, host="127.0.0.1", port=8000),
        "worker": worker_program(shared, plan, grace_seconds=1.0, passed=("SITE_SETTING",)),
        "flower": flower.program(tmp_path, port=5555, environment=shared),
        "migrate": migration_program(shared),
        "broker": EmbeddedBroker(tmp_path, binary).program(),
    }


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("api", {*KEYS, *DATABASE, *BROKER}),
        ("worker", {*DATABASE, *BROKER, *HUB, "SITE_SETTING"}),
        ("flower", {*BROKER}),
        ("migrate", {*DATABASE}),
        ("broker", set()),
    ],
)
def test_a_program_gets_the_secrets_that_it_needs(
    name: str, secrets: set[str], programs: dict[str, Program], tmp_path: Path
) -> None:
    """S23: worker and Flower had the API keys in their environment, and Flower the database's password."""
    show = python("json.tool", "--help")[:2]
    program = Program(
        name=name,
        command=(*show, "-c", "import json, os; print(json.dumps(dict(os.environ)))"),
        environment=programs[name].environment,
        needs=programs[name].needs,
        passed=programs[name].passed,
    )
    process = spawn(program, tmp_path / "out")
    wait_until(lambda: process.poll() is not None, what="the program ended")
    found = json.loads((tmp_path / "out").read_text())
    assert {n for n in found if n in {*KEYS, *DATABASE, *BROKER, *HUB, *STRANGE, "SITE_SETTING"}} == secrets
    assert USUAL.items() <= found.items()
    assert "PATH" in found
    assert ("TEXTMILL_WINDOW" in found) == (name != "broker")
    hidden = {**KEYS, **DATABASE, **BROKER, **HUB, **STRANGE}
    values = [
        hidden[variable] for variable in hidden if variable not in secrets and len(hidden[variable]) > 5
    ]
    assert not [value for value in values if value in str(found)]


def test_the_start_says_who_may_enter(tmp_path: Path) -> None:
    """S8: a server without keys said nothing of it."""
    assert who_may_enter(Settings(data=tmp_path)) == "no keys: open to everybody on this host"
    locked = Settings(data=tmp_path, api_keys=("k" * 16, "l" * 16), admin_key="a" * 16)
    assert who_may_enter(locked).startswith("keys are asked for: 3 of the settings")


def test_a_worker_started_by_hand_has_all_but_the_keys() -> None:
    assert without_keys(SET) == {n: v for n, v in SET.items() if n not in {*KEYS, "TEXTMILL_API_KEY"}}
