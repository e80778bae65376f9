"""Loops that numba compiles, beside torch in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import types

from models.decoding import compiled

_SCRIPT = """
import sys, threading, torch
from models.decoding.compiled import one_at_a_time
from models.loading.device import prepare_device

def compute(found):
    with one_at_a_time():
        found.append(torch.get_num_threads())
    found.append(torch.get_num_threads())

def first_use():
    found = []
    compute(found)
    print(*found)

prepare_device("cpu", num_threads=1)
if sys.argv[1] == "main":
    first_use()
else:
    thread = threading.Thread(target=first_use)
    thread.start()
    thread.join()
print(torch.get_num_threads())
"""


@pytest.mark.parametrize("thread", ["main", "device loop"])
def test_the_threads_that_a_worker_was_given_stay_so_many_after_the_first_loop(thread: str) -> None:
    """numba's start set torch's threads to all cores, whatever `TEXTMILL_THREADS` said, for good."""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, thread], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "1", "1"]


@pytest.mark.parametrize("content", [b"", b"cut sho"])
def test_damaged_files_of_what_was_compiled_do_no_harm(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert _doubled(4) == 8
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(content)
    assert _doubled(4) == 8


def test_where_nothing_can_be_kept_it_is_compiled_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba refuses to compile for a cache that has no place, as in a container that is read-only."""
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    assert _doubled(4) == 8


def test_what_was_compiled_is_not_used_when_another_file_of_ours_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that changed in a file of its own went on as it was, compiled into who calls it."""
    (tmp_path / "kernel.py").write_text("# calls the helper")
    (tmp_path / "helper.py").write_text("TWICE = 2")

    def kept_in() -> str:
        monkeypatch.setattr(numba.config, "CACHE_DIR", "")
        compiled.keep_by_code(tmp_path)
        return str(numba.config.CACHE_DIR)  # type: ignore[attr-defined]

    before = kept_in()
    assert kept_in() == before
    (tmp_path / "helper.py").write_text("TWICE = 3")
    assert kept_in() != before


def test_a_vectorised_exponential_is_right_to_the_last_bits_and_keeps_nan() -> None:
    """Added up in an order of the compiler's, as a mass is: its leave to reorder must not reach inside."""
    numbers = -np.abs(np.random.default_rng(0).standard_normal(100_000) * 20).astype(np.float32)
    numbers = numbers[numbers > -87]
    found = np.empty_like(numbers)
    _sum_of_exponentials(numbers, found)
    wanted = np.exp(numbers.astype(np.float64))
    assert np.abs(found / wanted - 1).max() < 4 * np.finfo(np.float32).eps
    ends = np.array([0, -88, -np.inf, np.nan], np.float32)
    total = _sum_of_exponentials(ends, found[:4])
    assert found[0] == 1
    assert 0 <= found[1:3].max() < 1.2e-38
    assert np.isnan(found[3])
    assert np.isnan(total)


@numba.njit(**compiled.OPTIONS)
def _sum_of_exponentials(numbers: Any, found: Any) -> Any:
    total = np.float32(0)
    for i in range(len(numbers)):
        found[i] = compiled.exp(numbers[i])
        total += found[i]
    return total


def _doubled(number: int) -> int:
    numbers = np.array([number], np.int64)
    compiled.compiled(types.void(types.int64[::1]), _double)(numbers)
    return int(numbers[0])


def _double(numbers: Any) -> None:
    for i in numba.prange(len(numbers)):
        numbers[i] *= 2
