"""What a process sets for itself, seen from another one: these settings hold for a whole process."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Sixteen threads at a time take memory in pieces and free it, as uploads do; how many heaps were made?
_HEAPS = """
import ctypes, re, threading
from jobs.process import prepare_process
prepare_process()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
barrier = threading.Barrier(16)
def work():
    barrier.wait()
    pieces = [libc.malloc(4000) for _ in range(2000)]
    barrier.wait()
    for piece in pieces:
        libc.free(piece)
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.open_memstream.restype = ctypes.c_void_p
text, size = ctypes.c_char_p(), ctypes.c_size_t()
stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
libc.malloc_info(0, stream)
libc.fclose(stream)
print(len(re.findall(rb"<heap nr=", text.value)))
"""
#: Of 62 MiB every second piece is freed, so that no heap ends in free memory; how much is there of it later?
_GIVEN_BACK = """
import ctypes, os
from pathlib import Path
from jobs.process import keep_giving_back
from tests.support.waiting import wait_until
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
pieces = [libc.malloc(64000) for _ in range(1000)]
for piece in pieces:
    ctypes.memset(piece, 1, 64000)
for piece in pieces[::2]:
    libc.free(piece)
before = resident()
keep_giving_back(0.01)
wait_until(lambda: before - resident() > 20 << 20, what="pages are given back")
print(True)
"""
_COLLECTED = """
import gc
from jobs.process import settle_in
class Node: pass
def ring():
    a, b = Node(), Node()
    a.other, b.other = b, a
settle_in()
frozen = gc.get_freeze_count()
ring()
print(frozen > 1000, gc.collect() >= 2)
"""


def output_of(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_threads_share_two_heaps_unless_the_operator_says_otherwise() -> None:
    """Soak: the API's memory grew by 15 % in half an hour, half of its heaps being free."""
    assert output_of(_HEAPS) == "2"
    assert int(output_of(_HEAPS, MALLOC_ARENA_MAX="5")) > 2


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_what_is_freed_amid_a_heap_goes_back_to_the_system() -> None:
    """Soak: heaps grew by what lay free between what is kept."""
    assert output_of(_GIVEN_BACK) == "True"


def test_what_a_start_leaves_is_not_looked_through_again_and_later_garbage_is_found() -> None:
    assert output_of(_COLLECTED) == "True True"
