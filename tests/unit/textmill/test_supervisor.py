from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.fake_process import FakeProcess
from textmill.stack.child import Process, Program
from textmill.stack.supervisor import Child, Supervisor, describe_exit, tail


class Bench:
    """A supervisor on a clock that only moves when it rests."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.processes: list[FakeProcess] = []
        self.ignores: tuple[int, ...] = ()
        self.supervisor = Supervisor(
            tmp_path,
            say=lambda name, text: self.said.append(f"{name}: {text}"),
            clock=lambda: self.now,
            start=self._start,
            rest=self.pass_time,
        )

    def _start(self, program: Program, log: Path) -> Process:
        process = FakeProcess(pid=len(self.processes) + 1, ignores=self.ignores)
        self.processes.append(process)
        return process

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def add(self, name: str, *, grace_seconds: float = 10.0) -> Child:
        return self.supervisor.add(Program(name=name, command=("true",), grace_seconds=grace_seconds))

    def crash(self, child: Child, code: int = -9) -> None:
        process = child.process
        assert isinstance(process, FakeProcess)
        process.code = code
        self.supervisor.tick()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_child_that_dies_is_restarted_after_a_pause_and_both_are_said(bench: Bench) -> None:
    child = bench.add("worker")
    bench.crash(child)
    assert not child.is_running
    bench.supervisor.tick()
    assert len(bench.processes) == 1
    bench.pass_time(0.5)
    bench.supervisor.tick()
    assert child.is_running
    assert bench.said[0].startswith("worker: was killed by SIGKILL; restarting in 0.5 s")
    assert bench.said[1] == "worker: restarted (pid 2)"


def test_the_pause_doubles_with_every_crash_up_to_half_a_minute(bench: Bench) -> None:
    child = bench.add("worker")
    pauses = []
    for _ in range(9):
        bench.crash(child)
        assert child.restart_at is not None
        pauses.append(child.restart_at - bench.now)
        bench.pass_time(pauses[-1])
        bench.supervisor.tick()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_stable_minute_forgives_earlier_crashes(bench: Bench) -> None:
    child = bench.add("worker")
    for _ in range(3):
        bench.crash(child)
        bench.pass_time(30)
        bench.supervisor.tick()
    bench.pass_time(61)
    bench.crash(child)
    assert child.restart_at == bench.now + 0.5


def test_stopping_asks_in_reverse_order_and_waits_for_each(bench: Bench) -> None:
    order: list[str] = []
    children = [bench.add(name) for name in ("broker", "worker", "api")]
    for child, process in zip(children, bench.processes, strict=True):
        name = child.program.name
        process.send_signal = lambda sig, process=process, name=name: (  # type: ignore[method-assign,misc]
            order.append(name),
            setattr(process, "code", 0),
        )
    bench.supervisor.stop(hurry=lambda: False)
    assert order == ["api", "worker", "broker"]


def test_a_child_that_does_not_stop_in_its_grace_period_is_killed(bench: Bench) -> None:
    bench.ignores = (signal.SIGTERM,)
    bench.add("worker", grace_seconds=3)
    bench.supervisor.stop(hurry=lambda: False)
    assert bench.processes[0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert bench.now >= 103
    assert bench.said == ["worker: did not stop in 3 s: killed"]


def test_a_second_request_kills_at_once(bench: Bench) -> None:
    bench.ignores = (signal.SIGTERM,)
    bench.add("worker", grace_seconds=30)
    bench.supervisor.stop(hurry=lambda: True)
    assert bench.processes[0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert bench.now < 101


def test_a_child_waiting_for_its_restart_is_not_restarted_by_a_stop(bench: Bench) -> None:
    child = bench.add("worker")
    bench.crash(child)
    bench.supervisor.stop(hurry=lambda: False)
    assert bench.processes[0].signals == []
    assert len(bench.processes) == 1


def test_a_child_with_its_own_way_of_stopping_is_asked_that_way(bench: Bench) -> None:
    asked = []

    def ask() -> None:
        asked.append(True)
        bench.processes[0].code = 0

    bench.supervisor.add(Program(name="broker", command=("true",), ask_to_stop=ask))
    bench.supervisor.stop(hurry=lambda: False)
    assert asked == [True]
    assert bench.processes[0].signals == []


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with exit code 0"), (2, "ended with exit code 2"), (-15, "was killed by SIGTERM")],
)
def test_exits_are_said_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("\n".join(str(n) for n in range(100)))
    assert tail(log, lines=2) == "98\n99"
    assert tail(tmp_path / "missing.log") == ""
