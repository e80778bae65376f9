"""The threads in which grammars are read and followed, beside the one that computes."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

#: llguidance reads rules that name one another by calls in calls: with the 8 MB that threads have, a chain
#: of some thousand rules ends the process. Memory is taken only as it is used.
_STACK_BYTES = 256 << 20
_MOST_THREADS = 4


@cache
def grammar_threads() -> ThreadPoolExecutor:
    """The threads of this process; llguidance lets others run while it computes."""
    count = min(_MOST_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(count, thread_name_prefix="grammars")
    barrier = threading.Barrier(count)  # each thread takes one, so that all are started now
    before = threading.stack_size(_STACK_BYTES)
    try:
        started = [pool.submit(barrier.wait) for _ in range(count)]
    finally:
        threading.stack_size(before)
    wait(started)
    return pool
