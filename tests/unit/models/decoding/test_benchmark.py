"""The benchmark for GPUs runs without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import beams_host_cost
from benchmarks.gpu import __main__ as benchmark


def test_the_benchmark_measures_every_system_with_tiny_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.setattr("sys.argv", ["gpu", "generation", "--dry", "--out", str(out)])
    benchmark.main()
    found = json.loads(out.read_text())
    systems = [measured["system"] for measured in found["measured"]]
    assert systems == [
        "textmill, first run",
        "textmill, warm",
        "textmill, all sampled",
        "transformers, continuous",
        "generate, 64, sorted",
    ]
    assert all(measured["tokens_per_second"] > 0 for measured in found["measured"])
    assert "generation" in capsys.readouterr().out


def test_what_a_step_of_beams_costs_the_host_hardly_grows_with_the_documents() -> None:
    """Nothing of it is done document by document: with an object for each it was 16 times as much."""
    assert beams_host_cost.measure(documents=64, beams=4) < 4 * beams_host_cost.measure(documents=4, beams=4)
