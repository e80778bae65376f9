"""The compose file, without a Docker engine: its schema, and every command it names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from jobs.catalogue import Catalogue
from jobs.settings import Settings
from tests.support.processes import command_line
from tests.support.waiting import wait_until
from textmill.stack.server_binary import find_server

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
_FOREIGN_IMAGES = {"redis", "postgres"}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def services() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = compose()["services"]
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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`deploy/` as its script leaves it."""
    folder = tmp_path_factory.mktemp("prepared") / "deploy"
    folder.mkdir()
    shutil.copy(ROOT / "deploy/prepare", folder)
    subprocess.run([folder / "prepare"], check=True, capture_output=True)
    return folder


def test_l23_every_setting_may_be_given_and_the_catalogue_is_mounted() -> None:
    """L23: six settings were passed on, and `textmill.toml` was not mounted."""
    whole = compose()
    for name in own_services():
        service = services()[name]
        assert [file["path"] for file in service["env_file"]] == ["deploy/textmill.env"], name
        (catalogue,) = service["configs"]
        assert whole["configs"][catalogue["source"]] == {"file": "deploy/textmill.toml"}
        if name != "migrate":
            assert service["environment"]["TEXTMILL_CONFIG"] == catalogue["target"]
        fixed = {name for name in service["environment"] if name.startswith("TEXTMILL_")}
        assert fixed <= {
            "TEXTMILL_REDIS_URL_FILE", "TEXTMILL_DATABASE_URL_FILE", "TEXTMILL_API_KEYS_FILE", "TEXTMILL_ADMIN_KEY_FILE", "TEXTMILL_CONFIG",
            "TEXTMILL_DATA",
        }  # fmt: skip


def test_s11_every_secret_is_a_file_and_goes_to_those_who_need_it(prepared: Path) -> None:
    """S11: passwords stood in the environment and in Flower's arguments."""
    secrets = compose()["secrets"]
    for name, secret in secrets.items():
        path = prepared.parent / secret["file"]
        is_the_users = name == "hf_token"  # empty until somebody has one
        assert len(path.read_text()) >= 40 or is_the_users
        assert path.stat().st_mode & 0o777 == (0o644 if is_the_users else 0o444)
    assert (prepared / "secrets").stat().st_mode & 0o077 == 0
    given = {name: set(service.get("secrets", ())) for name, service in services().items()}
    assert set().union(*given.values()) == set(secrets)
    assert {name for name, those in given.items() if {"api_keys", "admin_key"} & those} == {"api"}
    assert given["redis"] == {"redis_password"}
    assert given["postgres"] == {"postgres_password"}
    assert given["migrate"] == {"database_url"}
    assert given["flower"] == {"redis_url", "flower_auth"}
    for service in services().values():
        mounted = {f"/run/secrets/{name}" for name in service.get("secrets", ())}
        assert set(re.findall(r"/run/secrets/\w+", str(service))) == mounted
    values = [(prepared.parent / secret["file"]).read_text() for secret in secrets.values()]
    assert not any(value and value in COMPOSE.read_text() for value in values)


def test_s11_the_hubs_token_reaches_the_workers_alone(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S11: API, migration and Flower got `HF_TOKEN`."""
    given = {name for name, service in services().items() if "hf_token" in service.get("secrets", ())}
    assert given == {name for name in services() if name.startswith("worker")}
    for name in given:
        assert services()[name]["environment"]["HF_TOKEN_PATH"] == "/run/secrets/hf_token"
    for content, token in (("", None), ("hf_of_a_user\n", "hf_of_a_user")):
        (prepared / "secrets/hf_token").write_text(content)
        environment = {n: v for n, v in os.environ.items() if n not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
        found = subprocess.run(
            [sys.executable, "-c", "import huggingface_hub; print(huggingface_hub.get_token())"],
            env={**environment, "HF_TOKEN_PATH": str(prepared / "secrets/hf_token")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert found.stdout.strip() == str(token)
    (prepared / "secrets/hf_token").write_text("")


@pytest.mark.parametrize(
    "line",
    [
        "HF_TOKEN=hf_x",
        " export HF_TOKEN = x",
        "TEXTMILL_API_KEYS=a",
        "TEXTMILL_SECRET=b",
        "HUGGING_FACE_HUB_TOKEN=c",
    ],
)
def test_s11_a_secret_among_the_settings_of_all_is_refused(prepared: Path, line: str) -> None:
    """S11: what stands in `textmill.env` reaches every container."""
    settings = prepared / "textmill.env"
    before = settings.read_text()
    try:
        settings.write_text(f"{before}{line}\n")
        ran = subprocess.run([prepared / "prepare"], capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert line.replace("export", "").partition("=")[0].strip() in ran.stderr
        assert (
            not line.rpartition("=")[2].strip() or line.rpartition("=")[2].strip() not in ran.stderr.split()
        )
    finally:
        settings.write_text(before)


def test_s11_the_secrets_open_what_they_are_for(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("database_url", "redis_url", "api_keys"):
        monkeypatch.setenv(f"TEXTMILL_{name.upper()}_FILE", str(prepared / "secrets" / name))
    settings = Settings.load(config=prepared / "textmill.toml")
    assert (prepared / "secrets/postgres_password").read_text() in settings.database
    assert f":{(prepared / 'secrets/redis_password').read_text()}@redis" in settings.broker
    assert [key.get_secret_value() for key in settings.api_keys] == [
        (prepared / "secrets/api_keys").read_text()
    ]
    assert Catalogue.load(settings).entries, "an empty file of models leaves the bundled ones"


def test_preparing_twice_changes_no_secret(prepared: Path) -> None:
    before = {path.name: path.read_text() for path in (prepared / "secrets").iterdir()}
    subprocess.run([prepared / "prepare"], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (prepared / "secrets").iterdir()} == before


def test_s11_redis_asks_for_its_password(prepared: Path, tmp_path: Path) -> None:
    """S11: it had none. The command of the compose file runs here, on a socket and Valkey's binary."""
    shell, flag, script = services()["redis"]["command"]
    password = (prepared / "secrets/redis_password").read_text()
    script = script.replace("$$", "$").replace("/run/secrets", str(prepared / "secrets"))
    script = script.replace("redis-server", str(find_server().path)).replace("/data", str(tmp_path))
    with tempfile.TemporaryDirectory(prefix="tm") as short:
        script = script.replace(" --dir ", f" --port 0 --unixsocket {short}/s --dir ")
        server = subprocess.Popen([shell, flag, script], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: Path(f"{short}/s").exists(), what="the server's socket")
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(unix_socket_path=f"{short}/s").ping()
            assert redis.Redis(unix_socket_path=f"{short}/s", password=password).ping()
            assert password not in command_line(server.pid)
            server.terminate()  # as `docker stop` does: the server itself hears it, not a shell before it
            assert server.wait(20) == 0
        finally:
            server.kill()
            server.wait()


def test_s11_flower_takes_its_password_from_a_file(prepared: Path) -> None:
    program = "import runpy; print(runpy.run_path('textmill/stack/flowerconfig.py')['basic_auth'][0])"
    environment = {**os.environ, "FLOWER_BASIC_AUTH_FILE": str(prepared / "secrets/flower_auth")}
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == (prepared / "secrets/flower_auth").read_text()
    assert not any("auth" in part for part in services()["flower"]["command"])


@pytest.mark.parametrize("name", sorted(services()))
def test_s11_no_container_has_more_rights_than_it_needs(name: str) -> None:
    """S11: root, every capability, a writable file system, one flat network."""
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].partition(":")[0] not in ("", "0", "root")
    assert "/tmp" in service["tmpfs"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    inside = {"redis", "postgres", "migrate"}
    assert service["networks"] == (["inside"] if name in inside else ["inside", "outside"])


def test_s11_redis_and_postgres_are_reached_from_inside_only() -> None:
    assert compose()["networks"]["inside"] == {"internal": True}
    for name in ("redis", "postgres"):
        assert "ports" not in services()[name]
