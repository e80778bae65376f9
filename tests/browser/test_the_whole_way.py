"""What somebody does at a screen, from a file to its results; on a phone and on a desk, with keys and without."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.chromium import DESK, PHONE
from tests.browser.conftest import PROJECT_KEY, Seats
from tests.support.cluster import Cluster
from tests.support.fault_engine import answer_to

SIZES = pytest.mark.parametrize("size", [PHONE, DESK], ids=["390", "1280"])
KEYS = pytest.mark.parametrize("server", ["open_server", "keyed_server"])


def sign_in(page: Page) -> None:
    page.get_by_label("API key").fill(PROJECT_KEY)
    page.get_by_role("button", name="Sign in").click()


def upload(table: str) -> FilePayload:
    return {"name": "reviews.csv", "mimeType": "text/csv", "buffer": table.encode()}


def slides_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@SIZES
@KEYS
def test_a_file_is_submitted_watched_inspected_retried_and_downloaded(
    server: str, size: tuple[int, int], take_seat: Seats, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    cluster: Cluster = request.getfixturevalue(server)
    is_keyed = server == "keyed_server"
    page = take_seat(cluster.url, size).open("/console/jobs")
    if is_keyed:
        sign_in(page)
        expect(page).to_have_url(f"{cluster.url}/console/jobs")

    # Submitted: the page shows how the file will be read, and what is wrong with one, before it is sent.
    page.get_by_role("link", name="Submit").locator("visible=true").click()
    page.locator("#file").set_input_files(upload("id,review\n1,good\n2,\n"))
    expect(page.locator("#preview")).to_contain_text("Line 3, text: text is empty (column 'review')")
    expect(page.get_by_role("button", name="Mend 1 problem first")).to_be_disabled()
    rows = "".join(f'{n};"a text; number {n}"\n' for n in range(300))
    page.locator("#file").set_input_files(upload(f"id;review\n{rows}300;nan\n"))
    expect(page.get_by_label("Role of column review")).to_have_value("text:review")
    expect(page.locator("#preview td.role-text").first).to_have_text("a text; number 0")
    page.get_by_label("Name", exact=True).fill("The whole way")
    page.get_by_role("button", name="Submit 301 documents").click()

    # Watched: the page of the job moves by itself to its end.
    expect(page.get_by_role("heading", level=1)).to_have_text("The whole way")
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".head .badge")).to_have_text("Completed")
    expect(page.locator("section[data-kind=page] .legend")).to_contain_text("300 succeeded")

    # Inspected: why one failed, and the row itself.
    failures = page.get_by_role("region", name="Failures by reason")
    expect(failures).to_contain_text("not_finite")
    failures.get_by_role("link", name="Show them").click()
    expect(page.locator("#results article")).to_have_count(1)
    expect(page.locator("#results article")).to_contain_text("row 301")

    # Retried: it runs again, and fails again.
    page.get_by_role("button", name="Retry 1 without success").click()
    expect(page.get_by_role("status").filter(has_text="1 job retried.")).to_be_visible()
    expect(page.locator(".head .badge")).to_have_text("Completed")
    expect(failures).to_contain_text("not_finite")

    # Downloaded: every row once, in the order of the input.
    page.locator("summary", has_text="Download").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV 301 rows", exact=True).click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [row["seq"] for row in rows] == [str(number) for number in range(301)]
    assert [row["status"] for row in rows].count("failed") == 1
    assert not slides_sideways(page)


@SIZES
def test_a_job_that_was_cancelled_is_retried_to_its_end(
    size: tuple[int, int], take_seat: Seats, open_server: Cluster
) -> None:
    handle = open_server.client().submit(
        [f"one of many, {n}" for n in range(3000)], task="sentiment", metadata={"name": "Cancelled half way"}
    )
    page = take_seat(open_server.url, size).open(f"/console/jobs/{handle.id}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".head .badge")).to_have_text("Cancelled")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".head .badge")).to_have_text("Completed")
    expect(page.locator("section[data-kind=page] .legend")).to_contain_text("3,000 succeeded")


@SIZES
def test_one_document_is_tried_and_the_same_call_is_told(
    size: tuple[int, int], take_seat: Seats, open_server: Cluster
) -> None:
    seat = take_seat(open_server.url, size)
    seat.expected = ("422",)  # the browser itself notes the answer to the question without a context
    page = seat.open("/console/try")
    expect(page.get_by_label("Context", exact=True)).to_be_hidden()
    page.get_by_label("Text, or question").fill("It's warm")
    expect(page.locator("#code-curl")).to_contain_text("warm")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#answer")).to_contain_text(answer_to("It's warm"))
    page.locator("label", has_text="QA").click()
    expect(page.get_by_label("Context", exact=True)).to_be_visible()
    expect(page.get_by_label("Model", exact=True)).to_have_value("noop:q")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#answer")).to_contain_text("context is empty")


def test_a_newer_job_is_told_and_comes_into_the_list_when_it_is_wanted(
    take_seat: Seats, open_server: Cluster
) -> None:
    page = take_seat(open_server.url, DESK).open("/console/jobs")
    expect(page.locator("#live")).to_have_text("Live")
    open_server.client().submit(["a"], task="sentiment", metadata={"name": "Came in later"})
    page.locator("#newer").click()
    page.get_by_role("link", name="Came in later").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Came in later")


def test_signing_out_ends_what_a_browser_may_see(take_seat: Seats, keyed_server: Cluster) -> None:
    page = take_seat(keyed_server.url, DESK).open("/console/jobs")
    sign_in(page)
    page.get_by_role("button", name="Sign out").first.click()
    expect(page).to_have_url(f"{keyed_server.url}/console/login")
    page.goto(f"{keyed_server.url}/console/jobs")
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_list_is_walked_by_keyboard_alone(take_seat: Seats, open_server: Cluster) -> None:
    open_server.client().submit(["a"], task="sentiment", metadata={"name": "By keyboard"})
    page = take_seat(open_server.url, DESK).open("/console/jobs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("By keyboard")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody .check").focus()
    page.keyboard.press("Space")
    expect(page.locator("#bulk")).to_be_visible()
    page.locator("#bulk summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#bulk").get_by_role("button", name="Delete")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#bulk summary")).to_be_focused()
