"""The compose file, without a Docker engine: its schema, and every command it names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
_FOREIGN_IMAGES = {"redis", "postgres"}


def services() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return loaded


def own_services() -> list[str]:
    return sorted(set(services()) - _FOREIGN_IMAGES)


def test_the_compose_file_follows_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", own_services())
def test_every_command_in_the_compose_file_runs_here(name: str) -> None:
    program, *arguments = services()[name]["command"]
    assert program in {"python", "celery"}
    as_module = arguments[:2] if program == "python" else ["-m", "celery", *arguments[:3]]
    shown = subprocess.run(
        [sys.executable, *as_module, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert shown.returncode == 0, shown.stderr
    if program == "python":
        for flag in [argument for argument in arguments if argument.startswith("--")]:
            assert flag in shown.stdout, f"{name} passes {flag}, which the program does not know"


def test_files_named_in_commands_exist() -> None:
    command = services()["flower"]["command"]
    (configuration,) = [part.partition("=")[2] for part in command if part.startswith("--conf=")]
    assert (ROOT / configuration).exists()


def test_everything_of_ours_waits_for_the_migration_and_is_restarted() -> None:
    for name in own_services():
        service = services()[name]
        if name == "migrate":
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped"
        assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_a_service_gets_the_secrets_that_it_needs() -> None:
    """S23: Flower had the database's password, and all of them the token of the hub."""
    needed = {
        "api": {"TEXTMILL_API_KEYS", "TEXTMILL_ADMIN_KEY", "TEXTMILL_DATABASE_URL", "TEXTMILL_REDIS_URL"},
        "flower": {"TEXTMILL_REDIS_URL"},
        "migrate": {"TEXTMILL_DATABASE_URL"},
    }
    for_workers = {"TEXTMILL_DATABASE_URL", "TEXTMILL_REDIS_URL", "HF_TOKEN"}
    secrets = for_workers.union(*needed.values())
    for name in own_services():
        service = services()[name]
        assert set(service["environment"]) & secrets == needed.get(name, for_workers), name
        assert "TEXTMILL_DATA" in service["environment"]


def test_no_port_is_open_to_other_machines() -> None:
    for service in services().values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def test_a_worker_has_time_to_give_its_slices_back() -> None:
    grace_seconds = Settings.model_fields["grace_seconds"].default
    for name, service in services().items():
        if name.startswith("worker"):
            assert int(service["stop_grace_period"].removesuffix("s")) > grace_seconds


def test_each_gpu_has_one_worker_of_its_own() -> None:
    devices = [
        tuple(service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"])
        for service in services().values()
        if "deploy" in service
    ]
    assert len(devices) == len(set(devices)) >= 2


def test_every_variable_the_compose_file_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))
    offered = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert asked == offered


def test_every_textmill_variable_in_the_compose_file_is_a_setting() -> None:
    known = {f"TEXTMILL_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"TEXTMILL_[A-Z_]+", COMPOSE.read_text())) <= known | {
        # named in a comment
        "TEXTMILL_GRACE_SECONDS"
    }
