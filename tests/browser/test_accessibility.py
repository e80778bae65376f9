"""What axe finds on each page: nothing serious. And the policy: a script in a page does not run."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.chromium import DESK, PHONE
from tests.browser.conftest import ADMIN_KEY, PROJECT_KEY, Seats
from tests.browser.pages import NOT_FOUND, PAGES, Example, open_example
from tests.support.cluster import Cluster
from textmill.client import Textmill

LOOKS = pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")]
)
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def example(keyed_server: Cluster) -> Example:
    return open_example(Textmill(keyed_server.url, api_key=PROJECT_KEY))


def grave_findings(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in GRAVE]


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@LOOKS
def test_axe_finds_nothing_serious(
    size: tuple[int, int], scheme: str, take_seat: Seats, keyed_server: Cluster, example: Example
) -> None:
    # axe is put into the page from outside, which its policy would not let happen.
    seat = take_seat(keyed_server.url, size, scheme=scheme, bypass_csp=True)
    seat.expected = ("404",)
    page = seat.open("/console/login")
    found = {"sign in": grave_findings(page)}
    sign_in(page, ADMIN_KEY)
    for name, address in {**PAGES, "not found": NOT_FOUND}.items():
        page.goto(keyed_server.url + address.format(job=example.job_id))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} slides sideways"
        found[name] = grave_findings(page)
    assert {name: findings for name, findings in found.items() if findings} == {}


def test_no_page_breaks_its_policy_or_asks_elsewhere(
    take_seat: Seats, keyed_server: Cluster, example: Example
) -> None:
    """`take_seat` fails for any violation, any error of a script and any request to another host."""
    seat = take_seat(keyed_server.url, DESK)
    sign_in(seat.open("/console/login"), ADMIN_KEY)
    for address in PAGES.values():
        page = seat.open(address.format(job=example.job_id))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("load")
        page.close()


def test_a_script_that_got_into_a_page_would_not_run(take_seat: Seats, open_server: Cluster) -> None:
    """That the policy holds is seen by breaking it: else the test above could not fail."""
    seat = take_seat(open_server.url, DESK)
    page = seat.open("/console/jobs")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in problem for problem in seat.problems)
    seat.problems.clear()


def test_the_documentation_is_drawn_without_a_network(take_seat: Seats, open_server: Cluster) -> None:
    """E4: `/docs` was blank without internet."""
    page = take_seat(open_server.url, DESK).open("/docs")
    expect(page.locator(".opblock").first).to_be_visible()


def test_a_project_finds_no_way_to_keys_or_to_jobs_of_others(
    take_seat: Seats, keyed_server: Cluster, example: Example
) -> None:
    seat = take_seat(keyed_server.url, DESK)
    page = seat.open("/console/login")
    sign_in(page, PROJECT_KEY)
    expect(page.get_by_role("link", name="Usage").first).to_be_visible()
    expect(page.get_by_role("link", name="Keys")).to_have_count(0)
    seat.expected = ("403",)
    page.goto(f"{keyed_server.url}/console/keys")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not allowed")
