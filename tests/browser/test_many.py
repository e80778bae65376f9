"""Very many jobs and tabs, and a server that goes away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import DESK
from tests.browser.conftest import Seats
from tests.support.lone_api import LoneApi

NUM_JOBS, NUM_TABS = 500, 20


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneApi]:
    """An API with 500 unfinished jobs, nobody who works on them, and two streams at most: old and new of a browser."""
    with LoneApi(tmp_path_factory.mktemp("busy"), max_streams=2) as api:
        with httpx2.Client(base_url=api.url, timeout=60, trust_env=False) as http:
            for number in range(NUM_JOBS):
                body = {"task": "sentiment", "text": "a", "metadata": {"name": f"Job {number}"}}
                assert http.post("/v1/jobs", json=body).status_code == 202
        yield api


def newest(api: LoneApi, count: int) -> list[str]:
    jobs = api.get(f"/v1/jobs?limit={count}").json()["data"]
    return [str(job["id"]) for job in jobs]


def cancel(api: LoneApi, job_id: str) -> None:
    answer = httpx2.post(f"{api.url}/v1/jobs/{job_id}/cancel", timeout=60, trust_env=False)
    assert answer.status_code == 200


def badge(page: Page, job_id: str) -> Locator:
    return page.locator(f"#row-{job_id} .badge")


def test_500_unfinished_jobs_and_20_tabs_stay_fluent(busy: LoneApi, take_seat: Seats) -> None:
    """E2: the console froze at the seventh unfinished job: a stream for each took every connection."""
    seat = take_seat(busy.url, DESK)
    tabs = [seat.open("/console/jobs") for _ in range(NUM_TABS)]
    job_id = newest(busy, 1)[0]
    for tab in tabs:
        expect(tab.locator("#live")).to_have_text("Live")
    cancel(busy, job_id)
    for tab in tabs:  # one stream feeds all of them
        expect(badge(tab, job_id)).to_have_text("Cancelled")
    last = tabs[-1]
    last.goto(f"{busy.url}/console/jobs?show=waiting")  # a connection is left for the next page
    expect(last.locator("tbody tr")).to_have_count(25)


def test_a_page_lives_on_when_its_server_is_started_again(busy: LoneApi, take_seat: Seats) -> None:
    seat = take_seat(busy.url, DESK)
    page = seat.open("/console/jobs")
    expect(page.locator("#live")).to_have_text("Live")
    job_id = newest(busy, 3)[2]
    seat.expected = ("ERR_",)
    busy.kill()
    expect(page.locator("#live")).to_contain_text("Reconnecting")
    busy.__enter__()
    expect(page.locator("#live")).to_have_text("Live")
    cancel(busy, job_id)
    expect(badge(page, job_id)).to_have_text("Cancelled")


def test_a_list_is_paged_to_its_end_and_back(busy: LoneApi, take_seat: Seats, tmp_path: Path) -> None:
    page = take_seat(busy.url, DESK).open("/console/jobs?sort=oldest")
    expect(page.locator("tbody tr").first).to_contain_text("Job 0")
    seen: list[str] = []
    while True:
        seen += page.locator("tbody tr .jobname").all_inner_texts()
        if len(seen) >= NUM_JOBS:
            break
        page.get_by_role("link", name="Next").click()
        expect(page.locator("tbody tr .jobname").first).to_have_text(f"Job {len(seen)}")
    assert seen == [f"Job {number}" for number in range(NUM_JOBS)]
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="Previous").click()
    expect(page.locator("tbody tr .jobname").first).to_have_text(f"Job {NUM_JOBS - 50}")
