from __future__ import annotations

import pytest

from jobs.errors import ConfigurationError
from textmill.stack.devices import Machine, WorkerPlan, plan_workers

LAPTOP = Machine(num_gpus=0, num_sockets=1, num_cores=8)
SERVER = Machine(num_gpus=0, num_sockets=2, num_cores=64)
GPUS = Machine(num_gpus=4, num_sockets=2, num_cores=64)


def placed(machine: Machine, *devices: str, workers: int | None = None) -> list[tuple[str, str, int]]:
    plans = plan_workers(machine, devices=devices, workers=workers)
    return [(plan.name, plan.device, plan.threads) for plan in plans]


def test_without_a_gpu_there_is_one_worker_for_each_socket_and_they_share_the_cores() -> None:
    assert placed(LAPTOP) == [("cpu", "cpu", 0)]
    assert placed(SERVER) == [("cpu", "cpu", 32), ("cpu-2", "cpu", 32)]


def test_every_gpu_gets_one_worker() -> None:
    assert placed(GPUS) == [(f"cuda{n}", f"cuda:{n}", 0) for n in range(4)]


def test_cuda_is_every_gpu_and_an_error_where_there_is_none() -> None:
    assert placed(GPUS, "cuda") == placed(GPUS)
    with pytest.raises(ConfigurationError, match="no GPU"):
        placed(LAPTOP, "cuda")


def test_named_devices_are_used_and_no_others() -> None:
    assert placed(GPUS, "cuda:2", "cpu") == [("cuda2", "cuda:2", 0), ("cpu", "cpu", 0)]


def test_more_workers_than_devices_go_round() -> None:
    assert placed(GPUS, "cuda:0", "cuda:1", workers=3) == [
        ("cuda0", "cuda:0", 0),
        ("cuda1", "cuda:1", 0),
        ("cuda0-2", "cuda:0", 0),
    ]


def test_no_worker_at_all_can_be_asked_for() -> None:
    assert plan_workers(LAPTOP, devices=("auto",), workers=0) == ()


@pytest.mark.parametrize("device", ["cuda:4", "cuda:x", "tpu", "gpu"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--device {device}"):
        plan_workers(GPUS, devices=(device,), workers=None)


def test_names_never_repeat() -> None:
    plans: tuple[WorkerPlan, ...] = plan_workers(SERVER, devices=("cpu",), workers=5)
    assert len({plan.name for plan in plans}) == 5
