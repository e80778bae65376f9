"""S2: what one key has queued keeps nobody else waiting, on the real stack with the bundled models."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.acceptance.conftest import only, running_stack
from tests.support.waiting import PATIENCE_SECONDS
from textmill.client import Textmill
from textmill.handle import JobHandle
from textmill.stack.background import BackgroundStack

KEY_A, KEY_B = "key-of-a-0123456789", "key-of-b-0123456789"
#: Each of them takes the bundled model some seconds; all together, minutes.
LONG = {"min_new_tokens": 390, "max_new_tokens": 400}
NUM_JOBS, NUM_DOCUMENTS = 60, 40
#: Documents of A's that may be finished while B's one is: those under way, and a few.
FEW = 64


@dataclass
class Scene:
    """A has all of its work queued; B comes."""

    a: Textmill
    b: Textmill
    jobs: list[JobHandle]

    def settled(self) -> int:
        """How many of A's documents are done."""
        return sum(job.counts.settled for job in self.a.jobs(page_size=1000))

    def overtaking(self, text: str, **fields: str) -> int:
        """Has B send one document; how many of A's were done meanwhile."""
        before, begun = self.settled(), time.monotonic()
        job = self.b.submit([text], **fields).wait(timeout_seconds=4 * PATIENCE_SECONDS)
        seconds = time.monotonic() - begun
        overtaken = self.settled() - before
        sys.stderr.write(f"B's {fields}: {seconds:.2f} s, {overtaken} of A's documents\n")
        assert job.status().counts.succeeded == 1
        return overtaken


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStack]:
    environment = {"TEXTMILL_API_KEYS": f"{KEY_A},{KEY_B}", "HF_HUB_OFFLINE": "1"}
    folder = tmp_path_factory.mktemp("fair")
    with running_stack(
        folder, environment=environment, flags=["--no-flower", *only("generation", "sentiment")]
    ) as running:
        yield running


@pytest.fixture(params=["bulk", pytest.param("interactive", marks=pytest.mark.slow)])
def scene(stack: BackgroundStack, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Textmill(stack.url, api_key=KEY_A) as a, Textmill(stack.url, api_key=KEY_B) as b:
        texts = [f"It is {number} o'clock and" for number in range(NUM_DOCUMENTS)]
        jobs = [
            a.submit(texts, task="generation", params=LONG, priority=request.param) for _ in range(NUM_JOBS)
        ]
        made = Scene(a, b, jobs)
        yield made
        for job in jobs:
            job.cancel()


def test_one_document_of_another_key_is_answered_while_a_key_has_2400_long_ones_queued(scene: Scene) -> None:
    """S2: bulk or interactive, of the same or another model, it waited beyond 100 s."""
    short = {"task": "generation", "params": {"max_new_tokens": 8}}
    for fields in (short, {**short, "priority": "interactive"}, {"task": "sentiment"}, {"task": "sentiment"}):
        assert scene.overtaking("A warm, funny film, and", **fields) <= FEW  # type: ignore[arg-type]


def test_after_a_cancel_of_everything_another_key_is_served_at_once(scene: Scene) -> None:
    """S2: it still waited 22 s for slices that nobody wanted any more."""
    for job in scene.jobs:
        job.cancel()
    again = [scene.a.submit(["Once"] * NUM_DOCUMENTS, task="generation", params=LONG) for _ in range(20)]
    scene.jobs += again
    assert scene.overtaking("A warm, funny film, and", task="generation") <= FEW
