"""Captures CUDA graphs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch


def captured(run: Callable[[], None], stream: torch.cuda.Stream, pool: Any) -> torch.cuda.CUDAGraph:
    """A graph of what a function launches, which runs once before, so that what is new is compiled.

    Args:
        run: reads nothing on the host.
        stream: not the one that others compute on.
        pool: memory that graphs share.
    """
    torch.cuda.synchronize()  # what `run` reads is there
    collects = gc.isenabled()
    gc.disable()  # nothing of CUDA may be freed while a stream is captured
    try:
        with torch.inference_mode(), torch.cuda.stream(stream):
            run()
            torch.cuda.synchronize()
            return _captured(run, pool)
    finally:
        if collects:
            gc.enable()


def _captured(run: Callable[[], None], pool: Any) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin(pool=pool, capture_error_mode="thread_local")
    try:
        run()
    finally:
        graph.capture_end()
    return graph
