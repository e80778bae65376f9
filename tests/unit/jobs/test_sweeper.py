"""The sweeper's thread: what it survives, and what ends its process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.errors import ConfigurationError, StoreUnavailable
from jobs.records import SweepReport
from jobs.recovery import Sweeper
from jobs.settings import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Scene:
    """A sweeper over a store that fails as it is told."""

    def __init__(self, error: Exception | None = None, **settings: float) -> None:
        self.error = error
        self.num_sweeps = 0
        self.asked: list[dict[str, object]] = []
        self.deaths: list[str] = []
        self.sweeper = Sweeper(
            self, self, Settings(sweep_seconds=0.01, **settings), on_death=lambda: self.deaths.append("x")  # type: ignore[arg-type]
        )  # fmt: skip

    def sweep(self, **asked: object) -> SweepReport:
        self.num_sweeps += 1
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return SweepReport()

    def release(self) -> int:
        return 0


@pytest.fixture
def scene() -> object:
    made: list[Scene] = []

    def make(error: Exception) -> Scene:
        made.append(Scene(error))
        made[0].sweeper.start()
        return made[0]

    yield make
    made[0].sweeper.stop()


def test_a_store_that_is_away_is_asked_again(scene: Callable[[Exception], Scene]) -> None:
    running = scene(StoreUnavailable("away"))
    wait_until(lambda: running.num_sweeps >= 2, what="it sweeps again")
    assert running.deaths == []


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), ConfigurationError("no time mends it")])
def test_what_no_time_mends_ends_the_process(scene: Callable[[Exception], Scene], error: Exception) -> None:
    """A sweeper that swallowed errors nobody foresaw was noticed by no test: nothing was mended any more."""
    running = scene(error)
    wait_until(lambda: running.deaths == ["x"], what="the process is told")
    assert running.num_sweeps == 1


@pytest.mark.parametrize(("keep_days", "keep_seconds"), [(None, None), (0.5, 43_200.0), (30, 2_592_000.0)])
def test_a_sweep_is_told_what_the_settings_say(keep_days: float | None, keep_seconds: float | None) -> None:
    """Days that were divided where they are multiplied delete every finished job at once."""
    scene = Scene(max_crashes=7, **({} if keep_days is None else {"keep_days": keep_days}))
    scene.sweeper.sweep()
    assert scene.asked == [{"max_crashes": 7, "keep_seconds": keep_seconds}]


def test_a_process_that_ends_without_a_word_is_kept_by_no_sweeper() -> None:
    assert Scene().sweeper._thread.daemon
