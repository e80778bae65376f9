"""What a process of ours sets for itself at its start: flat memory, and threads that take turns often."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

#: Of `mallopt` in <malloc.h>.
_M_ARENA_MAX = -8
#: glibc makes up to eight heaps for each core, one for each thread that finds the others busy. What is
#: freed in one serves no other thread: with threads that come and go, half of all of it lay idle.
_NUM_ARENAS = 2
#: A thread that computes lets others have the interpreter after so long; Python's own 5 ms are waited for
#: at each of the twenty statements of a transaction, while it holds the database's write lock.
_SWITCH_SECONDS = 0.0005


def prepare_process() -> None:
    """For the beginning of a program, before its threads."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    if "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return  # the operator's own number
    limit = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if limit is not None:  # another C library has none, or ignores it
        limit(_M_ARENA_MAX, _NUM_ARENAS)


def settle_in() -> None:
    """For the end of a start: what is there now stays, and is not looked through for garbage again.

    A full collection looked at every object of every module that was imported, a tenth of a second
    of the processor and more, during which no other thread runs, whoever holds the database's lock.
    """
    gc.collect()
    gc.freeze()
