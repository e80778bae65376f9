"""What a text too large for its model leaves behind in the worker."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

from models.records import DocumentInput
from models.tasks.generation import GenerationEngine
from tests.support.tiny_models import Loader

_MEBI = 1 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc and asks glibc")
def test_prompts_that_are_refused_for_their_length_leave_no_memory_behind(loaded: Loader) -> None:
    """S21: refused prompts of 1 MB raised the worker from 0.5 to 2.9 GB, and it stayed there."""
    engine = GenerationEngine(loaded("generation", "gpt2"))
    ctypes.CDLL(None).malloc_trim(0)
    before = resident_bytes()
    documents = [DocumentInput(key=n, text=f"abcdefgh{n}" * 100_000) for n in range(4)]
    engine.submit(documents)
    outputs = [output for _ in documents for output in engine.step()]
    assert [output.error_code for output in outputs] == ["too_long"] * 4
    assert resident_bytes() - before < 60 * _MEBI
