"""Loops that numba compiles, beside torch in one process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
