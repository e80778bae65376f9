"""A rolling restart from 0.1.0: its API and workers run beside ours on one ledger, and are killed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Profile
from tests.faults.test_workers import finished, submit
from tests.support.audit import audit
from tests.support.cluster import HERE, Cluster
from tests.support.waiting import wait_until

#: The last commit of 0.1.0.
_BEFORE = "143fab2"


@pytest.fixture(scope="session")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its code, out of git; it runs with the packages of this environment."""
    found = subprocess.run(("git", "archive", _BEFORE), cwd=HERE, capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"this checkout does not have {_BEFORE}")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.slow
def test_a_release_takes_the_place_of_the_one_before_while_jobs_run(
    cluster: Callable[..., Cluster], release_before: Path, profile: Profile
) -> None:
    """The API first, then one worker after the other; the old ones work on, and one is killed."""
    pace = "0.01"
    c = cluster(workers=3, release=release_before, TEXTMILL_FAULT_PACE_SECONDS=pace)
    count = profile.pick(1200, 12_000)
    jobs = [submit(c, count)]
    wait_until(lambda: jobs[0].status().counts.succeeded > 0, what="it runs")
    c.kill("api")
    c.release = HERE
    c.migrate()
    c.start_api()
    jobs.append(submit(c, count))
    wait_until(lambda: jobs[1].status().counts.succeeded > 0, what="old workers take new jobs")
    c.kill("w0")
    c.start_worker("w0")
    jobs.append(submit(c, count))
    c.kill("w1")
    c.start_worker("w1")
    for job in jobs:
        finished(job, c)
    assert not c.has_ended("w2"), "the worker of the release before is still there"
    profile.note(documents=3 * count)
    profile.settle(audit(c.database_url))
