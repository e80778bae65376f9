from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from jobs.redis_url import client_url
from jobs.settings import Settings
from textmill.commands.server import Server
from textmill.errors import FolderInUse, NoBroker, PortTaken, StackError
from textmill.stack import ports, server_binary
from textmill.stack.broker import BrokerAddress, EmbeddedBroker
from textmill.stack.folder import DataFolder, RunningStack, read_note, running
from textmill.stack.logs import keep_short
from textmill.stack.plan import shared_environment
from textmill.stack.server_binary import ServerBinary

VALKEY = ServerBinary(path=Path("/bin/valkey"), name="Valkey", version="9.1.2", origin="on the PATH")


@pytest.mark.parametrize(
    ("celery_url", "expected"),
    [
        ("redis+socket:///data/broker.sock?virtual_host=0", "unix:///data/broker.sock?db=0"),
        ("redis+socket:///data/broker.sock", "unix:///data/broker.sock?db=0"),
        ("redis://:secret@redis:6379/1", "redis://:secret@redis:6379/1"),
        ("rediss://redis:6379", "rediss://redis:6379"),
    ],
)
def test_the_brokers_url_is_spelt_for_redis_py_too(celery_url: str, expected: str) -> None:
    assert client_url(celery_url) == expected


def test_a_short_plain_path_gets_a_socket() -> None:
    broker = EmbeddedBroker(Path("/srv/textmill"), VALKEY)
    assert broker.address == BrokerAddress(socket="/srv/textmill/broker.sock")
    assert broker.address.celery_url == "redis+socket:///srv/textmill/broker.sock?virtual_host=0"


@pytest.mark.parametrize("folder", ["/" + "x" * 100, "/srv/my data", "/srv/100%/mill"])
def test_a_path_that_no_socket_or_url_can_carry_gets_a_port_and_a_password(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmill.stack.broker.any_free", lambda host: 4321)
    address = EmbeddedBroker(Path(folder), VALKEY).address
    assert address.socket is None
    assert address.celery_url == f"redis://:{address.password}@127.0.0.1:4321/0"
    assert len(address.password) > 20


def test_the_queue_of_another_server_version_is_set_aside_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "broker.version").write_text("Redis 7.0.15")
    (tmp_path / "appendonlydir").mkdir()
    note = EmbeddedBroker(tmp_path, VALKEY).prepare()
    assert note is not None
    assert "written by Redis 7.0.15" in note
    assert not (tmp_path / "appendonlydir").exists()
    assert (tmp_path / "broker.version").read_text() == "Valkey 9.1.2"


def test_the_queue_of_the_same_major_version_is_kept(tmp_path: Path) -> None:
    (tmp_path / "broker.version").write_text("Valkey 9.0.1")
    (tmp_path / "appendonlydir").mkdir()
    assert EmbeddedBroker(tmp_path, VALKEY).prepare() is None
    assert (tmp_path / "appendonlydir").exists()


def test_the_brokers_files_are_for_their_owner_only(tmp_path: Path) -> None:
    EmbeddedBroker(tmp_path, VALKEY).prepare()
    assert {(tmp_path / name).stat().st_mode & 0o077 for name in ("broker.conf", "broker.json")} == {0}


def test_the_broker_keeps_its_queue_on_disk_and_evicts_nothing(tmp_path: Path) -> None:
    EmbeddedBroker(tmp_path, VALKEY).prepare()
    lines = (tmp_path / "broker.conf").read_text().splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction", "daemonize no"} <= set(lines)


def fake_server(folder: Path, name: str, text: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)
    return program


def test_a_valkey_on_the_path_comes_before_a_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server(tmp_path, "redis-server", "Redis server v=7.0.15 sha=0")
    fake_server(tmp_path, "valkey-server", "Valkey server v=8.1.0 sha=0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert server_binary.find_server().label == "Valkey 8.1.0"


def test_a_server_that_is_too_old_is_passed_over_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_server(tmp_path, "redis-server", "Redis server v=6.0.16 sha=0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(server_binary, "_from_package", lambda: VALKEY)
    assert server_binary.find_server() is VALKEY


def test_without_any_server_the_three_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server_binary, "_from_package", lambda: None)
    with pytest.raises(NoBroker, match=r"TEXTMILL_REDIS_URL.*valkey-server or redis-server.*embedded"):
        server_binary.find_server()


def test_a_folder_is_held_by_one_stack_at_a_time(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.hold()
    first.announce(RunningStack(pid=os.getpid(), url="http://127.0.0.1:8000"))
    with pytest.raises(FolderInUse, match=rf"pid {os.getpid()}, http://127\.0\.0\.1:8000"):
        second.hold()
    first.let_go()
    second.hold()
    second.let_go()


def test_a_stack_says_where_it_answers_while_it_runs(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.hold()
    stack = RunningStack(pid=os.getpid(), url="http://127.0.0.1:9", is_ready=True)
    folder.announce(stack)
    assert running(tmp_path) == stack
    folder.let_go()
    assert read_note(tmp_path) is None


def test_the_note_of_a_stack_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.hold()
    folder.announce(RunningStack(pid=2**22 + 1, url="http://127.0.0.1:9"))  # above the largest pid there is
    assert running(tmp_path) is None


def test_a_folder_that_others_can_read_is_closed_with_what_is_in_it(tmp_path: Path) -> None:
    """S5: in a folder that existed before, any local user read every document."""
    tmp_path.chmod(0o755)
    (tmp_path / "textmill.db").write_text("documents")
    (tmp_path / "textmill.db").chmod(0o644)
    folder = DataFolder(tmp_path)
    folder.hold()
    folder.let_go()
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path, *tmp_path.rglob("*"))} == {0}


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StackError, match=r"others may write it.*chmod go-w"):
        DataFolder(tmp_path).hold()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, -1)
    with pytest.raises(StackError, match="belongs to somebody else"):
        DataFolder(tmp_path).hold()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_in_the_folder_is_refused(tmp_path: Path) -> None:
    """S10: who puts a database there reads every document, whoever the folder belongs to later."""
    (tmp_path / "textmill.db").touch()
    os.chown(tmp_path / "textmill.db", 65534, -1)
    with pytest.raises(StackError, match=r"somebody else owns textmill\.db"):
        DataFolder(tmp_path).hold()


def test_a_note_without_a_lock_is_not_believed(tmp_path: Path) -> None:
    """S7: an unpacked archive names a process that exists and an address where somebody listens."""
    folder = DataFolder(tmp_path)
    folder.hold()
    folder.announce(RunningStack(pid=os.getpid(), url="http://127.0.0.1:9"))
    note = (tmp_path / "up.json").read_text()
    assert running(tmp_path) is not None
    (tmp_path / "up.lock").chmod(0o644)  # whoever may read it may lock it
    assert running(tmp_path) is None
    folder.let_go()
    (tmp_path / "up.json").write_text(note)
    (tmp_path / "up.lock").chmod(0o600)
    assert running(tmp_path) is None
    (tmp_path / "up.lock").unlink()
    assert running(tmp_path) is None


def test_a_log_that_grows_is_set_aside_while_its_program_writes(tmp_path: Path) -> None:
    """S3: a log grew by 157 MB in 15 seconds."""
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as program:
        program.write(b"x" * 100)
        assert not keep_short(log, most_bytes=100)
        program.write(b"y\n")
        assert keep_short(log, most_bytes=100)
        program.write(b"z\n")
        assert log.read_bytes() == b"z\n"  # appended to what is left, no hole
        program.write(b"z" * 100)
        assert keep_short(log, most_bytes=100)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"api.log": 0, "api.log.1": 102}


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7:8000", "http://example.org", "http://localhost.example.org:1"]
)
def test_a_note_that_names_another_host_is_not_believed(tmp_path: Path, url: str) -> None:
    """S7: the key went to whatever address stood in a file of the current folder."""
    folder = DataFolder(tmp_path)
    folder.hold()
    folder.announce(RunningStack(pid=os.getpid(), url=url))
    assert running(tmp_path) is None


def test_a_note_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.hold()
    folder.announce(RunningStack(pid=os.getpid(), url="http://127.0.0.1:9"))
    (tmp_path / "up.json").chmod(0o666)
    assert running(tmp_path) is None
    (tmp_path / "up.json").chmod(0o600)
    assert running(tmp_path) is not None
    tmp_path.chmod(0o777)
    assert running(tmp_path) is None


def test_the_key_goes_only_to_a_server_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S7: a server found in a folder may be anybody's."""
    sent: list[tuple[str, str | None]] = []
    monkeypatch.setattr("textmill.client.Textmill", lambda url, key=None: sent.append((url, key)))
    folder = DataFolder(tmp_path)
    folder.hold()
    folder.announce(RunningStack(pid=os.getpid(), url="http://127.0.0.1:9"))
    Server(url=None, api_key="secret", data=tmp_path).connect()
    assert "TEXTMILL_URL" in capsys.readouterr().err
    Server(url="http://127.0.0.1:9", api_key="secret", data=tmp_path).connect()
    assert sent == [("http://127.0.0.1:9", None), ("http://127.0.0.1:9", "secret")]


def test_a_taken_port_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda host, port: False)
    with pytest.raises(PortTaken, match=r"port 8000 on 127\.0\.0\.1 is taken.*--port"):
        ports.claim("127.0.0.1", 8000)


def test_flower_takes_the_first_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda host, port: port >= 5558)
    assert ports.free_near("127.0.0.1", 5555) == 5558


def test_children_agree_on_what_the_parent_settled(tmp_path: Path) -> None:
    settings = Settings.load(models=("sentiment=./mine",), dtype="float32", data=tmp_path)
    environment = shared_environment(
        settings, folder=tmp_path, broker_url="redis+socket:///x?virtual_host=0", port=8123
    )
    assert environment["TEXTMILL_REDIS_URL"] == "redis+socket:///x?virtual_host=0"
    assert environment["TEXTMILL_DATABASE_URL"] == f"sqlite:///{tmp_path}/textmill.db"
    assert environment["TEXTMILL_MODELS"] == "sentiment=./mine"
    assert environment["TEXTMILL_PORT"] == "8123"
    assert environment["TEXTMILL_DTYPE"] == "float32"
