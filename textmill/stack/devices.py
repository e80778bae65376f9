"""How many workers to start, and on which devices. Loads no torch: it asks the system."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ConfigurationError

_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine offers."""

    num_gpus: int
    num_sockets: int
    num_cores: int


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """One worker to start."""

    name: str  #: unique in the stack: `cpu`, `cpu1`, `cuda0`
    device: str
    threads: int  #: CPU threads; 0 leaves it to the worker


def plan_workers(machine: Machine, *, devices: Sequence[str], workers: int | None) -> tuple[WorkerPlan, ...]:
    """One worker per device named; `auto` is one per GPU, else one per CPU socket.

    Args:
        machine: What there is.
        devices: As given by `--device`: `auto`, `cpu`, `cuda` (every GPU), `cuda:N`.
        workers: How many; None: one per device (per socket on the CPU).

    Raises:
        ConfigurationError: a device is named that is not there.
    """
    chosen = _resolve(machine, devices)
    if workers is None:
        workers = machine.num_sockets if chosen == ["cpu"] else len(chosen)
    placed = [chosen[i % len(chosen)] for i in range(workers)]
    num_on_cpu = placed.count("cpu")
    threads = max(1, machine.num_cores // num_on_cpu) if num_on_cpu > 1 else 0
    return tuple(
        WorkerPlan(
            name=_name(device, placed[:i].count(device)),
            device=device,
            threads=threads if device == "cpu" else 0,
        )
        for i, device in enumerate(placed)
    )


def _resolve(machine: Machine, devices: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    for device in devices or ("auto",):
        if device == "auto":
            chosen += [f"cuda:{i}" for i in range(machine.num_gpus)] or ["cpu"]
        elif device == "cpu":
            chosen.append(device)
        elif device == "cuda" and machine.num_gpus:
            chosen += [f"cuda:{i}" for i in range(machine.num_gpus)]
        elif device == "cuda":
            raise ConfigurationError("--device cuda: this machine shows no GPU")
        elif device.startswith("cuda:") and device[5:].isdecimal():
            if int(device[5:]) >= machine.num_gpus:
                raise ConfigurationError(f"--device {device}: this machine shows {machine.num_gpus} GPU(s)")
            chosen.append(device)
        else:
            raise ConfigurationError(
                f"--device {device}: use auto, cpu, cuda (every GPU) or cuda:N, separated by commas"
            )
    return chosen


def _name(device: str, ordinal: int) -> str:
    base = device.replace(":", "")
    return base if ordinal == 0 else f"{base}-{ordinal + 1}"


def look_around() -> Machine:
    """The machine as its operating system describes it."""
    return Machine(num_gpus=_count_gpus(), num_sockets=_count_sockets(), num_cores=len(_usable_cores()))


def _usable_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _count_gpus() -> int:
    # CUDA's own variable, not one of our settings: it renumbers what programs see.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() and part.strip() != "-1"])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listing = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.splitlines())


def _count_sockets() -> int:
    packages = set()
    for core in _usable_cores():
        try:
            packages.add((_TOPOLOGY / f"cpu{core}/topology/physical_package_id").read_text().strip())
        except OSError:  # not Linux, or a container that hides it
            return 1
    return max(1, len(packages))
