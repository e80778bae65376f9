"""The engine that computes nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models.records import ModelSpec
from models.tasks.noop import NoopEngine
from tests.support.engines import documents


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("generation", {"text", "finish_reason"}),
        ("translation", {"text"}),
        ("sentiment", {"label", "score", "scores"}),
        ("qa", {"answer", "score", "start", "end"}),
    ],
)
def test_every_document_gets_an_output_of_its_tasks_shape(task: str, fields: set[str]) -> None:
    engine = NoopEngine(ModelSpec(name="n", task=task, ref="noop:"))
    engine.submit(documents("x", "y"))
    outputs = engine.step()
    assert [output.key for output in outputs] == [0, 1]
    assert all(output.output and set(output.output) == fields for output in outputs)
    assert not engine.has_work


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; from models.factory import build_engine; from models.records import ModelSpec;"
        "build_engine(ModelSpec(name='n', task='qa', ref='noop:'), None);"
        "import models.loop.device_loop, models.loop.pool; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
