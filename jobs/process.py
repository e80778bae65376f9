"""What a process of ours sets for itself at its start: flat memory, and threads that take turns often."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from typing import Any

#: Of `mallopt` in <malloc.h>.
_M_ARENA_MAX = -8
#: glibc makes up to eight heaps for each core, one for each thread that finds the others busy. What is
#: freed in one serves no other thread: with threads that come and go, half of all of it lay idle.
_NUM_ARENAS = 2
#: A thread that computes lets others have the interpreter after so long; Python's own 5 ms are waited for
#: at each of the twenty statements of a transaction, while it holds the database's write lock.
_SWITCH_SECONDS = 0.0005
#: What is freed lies between what is kept, and glibc gives back only the end of a heap by itself. To look
#: through 250 MiB takes one or two milliseconds.
_GIVE_BACK_SECONDS = 30.0


def prepare_process() -> None:
    """For the beginning of a program, before its threads."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    if "MALLOC_ARENA_MAX" in os.environ or "arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return  # the operator's own number
    limit = _glibc("mallopt")
    if limit is not None:  # musl ignores it
        limit(_M_ARENA_MAX, _NUM_ARENAS)


def settle_in() -> None:
    """For the end of a start: what is there now stays, and is not looked through for garbage again.

    A full collection looked at every object of every module that was imported, a tenth of a second
    of the processor and more, during which no other thread runs, whoever holds the database's lock.
    """
    gc.collect()
    gc.freeze()


def keep_giving_back(period_seconds: float = _GIVE_BACK_SECONDS) -> None:
    """From now on pages that hold nothing go back to the system, also those amid a heap."""
    trim = _glibc("malloc_trim")
    if trim is None:
        return

    def work() -> None:
        while True:
            time.sleep(period_seconds)
            trim(0)  # others go on meanwhile, but for those who want memory of the same heap

    threading.Thread(target=work, name="give-back", daemon=True).start()


def _glibc(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
