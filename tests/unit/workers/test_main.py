"""What a worker serves on which device, before torch is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from workers import __main__ as program

TABLES = """
[[models]]
name = "first"
task = "qa"
ref = "noop:a"
device = "cuda:0"
[[models]]
name = "second"
task = "sentiment"
ref = "noop:b"
device = "cuda:1"
[[models]]
name = "both"
task = "sentiment"
ref = "noop:d"
device = ["cuda:0", "cuda:1"]
[[models]]
name = "gpu"
task = "sentiment"
ref = "noop:e"
device = "cuda"
[[models]]
name = "anywhere"
task = "generation"
ref = "noop:c"
"""


class Started:
    """What the worker would have been started with."""

    served: set[str]
    device: str


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs `python -m workers` up to the point where torch would load."""
    (tmp_path / "textmill.toml").write_text(TABLES)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TEXTMILL_")]:
        monkeypatch.delenv(name)
    set_by_workers = (
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
        "LRU_CACHE_CAPACITY",
        "OMP_WAIT_POLICY",
        "GOMP_SPINCOUNT",
    )
    for name in ("TEXTMILL_DEVICE", "CUDA_VISIBLE_DEVICES", *set_by_workers):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the program sets
        monkeypatch.delenv(name)
    started = Started()

    def run(settings: Any, catalogue: Any, entries: Any, options: Any, build: Any, device: str) -> int:
        started.served = {entry.name for entry in entries} - {"textmill-translation"}
        started.device = device
        return 0

    def begin(*flags: str) -> Started | int:
        monkeypatch.setattr("sys.argv", ["textmill worker", *flags])
        code = program.main()
        return code or started

    monkeypatch.setattr(program, "_run", run)
    return begin


@pytest.mark.parametrize(
    ("device", "served"),
    [
        ("cuda:0", {"first", "both", "gpu", "anywhere"}),
        ("cuda:1", {"second", "both", "gpu", "anywhere"}),
        ("cuda:2", {"gpu", "anywhere"}),
        ("cpu", {"anywhere"}),
    ],
)
def test_l16_a_model_for_one_gpu_is_served_by_the_worker_of_that_gpu(
    start: Any, device: str, served: set[str]
) -> None:
    """L16: a worker is `cuda:0` inside, so a model for `cuda:1` was served by nobody, or by two."""
    started = start("--device", device)
    assert started.served == served
    assert started.device == device
    assert os.environ["TEXTMILL_DEVICE"] == ("cpu" if device == "cpu" else "cuda:0")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ("" if device == "cpu" else device[-1])


def test_the_device_may_come_from_a_file_of_settings(start: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TEXTMILL_DEVICE=cuda:1\n")
    assert start().served == {"second", "both", "gpu", "anywhere"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_gpu_is_counted_among_those_that_cuda_shows(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert start("--device", "cuda:1").served == {"second", "both", "gpu", "anywhere"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"


@pytest.mark.parametrize("visible", ["", "-1", "3"])
def test_a_gpu_that_cuda_does_not_show_is_refused_by_name(
    start: Any, visible: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert start("--device", "cuda:1") == 2
    assert "CUDA_VISIBLE_DEVICES" in capsys.readouterr().err


def test_a_device_that_is_none_is_refused_by_name(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("--device", "cuda:x") == 2
    assert "TEXTMILL_DEVICE" in capsys.readouterr().err


def test_l16_cuda_is_the_first_gpu(start: Any) -> None:
    """L16's kind: `cuda` alone, as people write it."""
    started = start("--device", "cuda")
    assert started.device == "cuda:0"
    assert started.served == {"first", "both", "gpu", "anywhere"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_l16_a_worker_serves_no_model_of_another_device_by_name(
    start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """L16's kind: named on the command line, a model was served where it is not for."""
    assert start("--device", "cpu", "--models", "anywhere,second") == 2
    assert "'second' is for cuda:1, this worker is on cpu" in capsys.readouterr().err


def test_a_device_of_a_model_that_is_none_is_refused_by_name(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "textmill.toml").write_text(TABLES.replace('"cuda:1"', '"gpu:1"', 1))
    assert start("--device", "cpu") == 2
    assert "'gpu:1' is no device" in capsys.readouterr().err
