"""`make screenshots`: pictures of every page with work of the bundled models on it; light, dark, and a phone's.

Everything on them is what a real stack computed from the texts below; nothing is drawn in.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from tests.browser.chromium import DESK, PHONE, chromium, seat, why_not
from tests.browser.pages import PAGES
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from textmill.client import Textmill
from textmill.stack.background import BackgroundStack

if TYPE_CHECKING:
    from playwright.sync_api import Page

ADMIN_KEY = "admin-of-the-pictures"
_LOOKS = [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")]
_THINGS = ("kettle", "desk lamp", "bicycle", "film", "jacket", "radio", "book", "chair")
_PRAISE = ("It works and looks good.", "I would buy it again.", "A joy to use every day.")
_BLAME = ("It broke after two days.", "The smell is terrible.", "I sent it back at once.")
_CONTEXT = (
    "The mill at Ober was built in 1871 by Anna Berg. It had four wheels, and ground rye and wheat for "
    "nine villages. In 1904 a fire took the roof; it was rebuilt in stone two years later."
)
_QUESTIONS = (
    "Who built the mill?",
    "When was there a fire?",
    "What did it grind?",
    "How many wheels had it?",
)
_FILE = "id,review,stars\n" + "\n".join(
    f'A{n},"The {_THINGS[n % 8]} came on time. {(_PRAISE if n % 3 else _BLAME)[n % 3]}",{5 if n % 3 else 1}'
    for n in range(40)
)


def reviews(count: int) -> Iterator[dict[str, object]]:
    """Rows of a shop."""
    for n in range(count):
        mood = _PRAISE if n % 3 else _BLAME
        yield {
            "custom_id": f"review-{n + 1:05}",
            "text": f"The {_THINGS[n % 8]} came in {2 + n % 5} days. {mood[n % 3]}",
        }


def project_key(url: str) -> str:
    """A key of a project of its own."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False) as http:
        http.post("/v1/projects", json={"name": "reading-room"}).raise_for_status()
        made = http.post("/v1/keys", json={"name": "front desk", "project": "reading-room"})
        return str(made.raise_for_status().json()["key"])


def give_work(client: Textmill) -> str:
    """Finished jobs of every task, one with failures, and some that go on; the id of the one to look at."""
    long = {
        "custom_id": "manual-0001",
        "task": "generation",
        "text": "wheel " * 30_000,
        "params": {"max_length": 40},
    }
    done = [
        client.submit([*reviews(400)], task="sentiment", metadata={"name": "Reviews, November", "team": "shop"}),
        client.submit(
            [{"text": question, "context": _CONTEXT} for question in _QUESTIONS],
            task="qa", metadata={"name": "Questions about the mill"},
        ),
        client.submit(
            ["The mill is open today.\nWe grind wheat and rye.", "Where is the station?", "I like the old bridge."],
            task="translation", metadata={"name": "Signs for visitors", "team": "museum"},
        ),
        client.submit(
            ["Once upon a time", "The old miller said"], task="generation",
            params={"max_new_tokens": 40}, metadata={"name": "Stories, a first look"},
        ),
    ]  # fmt: skip
    mixed = client.submit(
        [
            *({**row, "task": "sentiment"} for row in reviews(30)),
            {"custom_id": "q-1", "task": "qa", "text": _QUESTIONS[0], "context": _CONTEXT},
            {"custom_id": "t-1", "task": "translation", "text": "Good morning.\nWhere is the mill?"},
            {
                "custom_id": "g-1",
                "task": "generation",
                "text": "Once upon a time",
                "params": {"max_new_tokens": 30},
            },
            long,
        ],
        metadata={"name": "Visitors' book, mixed", "team": "museum"},
    )
    for handle in [*done, mixed]:
        handle.wait(timeout_seconds=4 * PATIENCE_SECONDS)
    client.submit(
        [*reviews(60_000)], task="sentiment", metadata={"name": "Reviews, the whole year", "team": "shop"}
    )
    client.submit(
        ["The old mill stands by the river and grinds wheat."] * 4000,
        task="translation",
        metadata={"name": "Catalogue, English to German"},
    )
    wait_until(lambda: next(iter(client.jobs(status="running")), None), what="one runs")
    return mixed.id


def prepare(page: Page, name: str) -> None:
    """What somebody does on a page before there is something to see."""
    if name == "submit":
        page.locator("#file").set_input_files(
            {"name": "reviews.csv", "mimeType": "text/csv", "buffer": _FILE.encode()}
        )
        page.locator("#preview table").wait_for()
    if name == "try one":
        page.locator("label", has_text="QA").click()
        page.locator("#text").fill(_QUESTIONS[0])
        page.locator("#context").fill(_CONTEXT)
        page.get_by_role("button", name="Run").click()
        page.locator("#answer .scores").wait_for()


def take(page: Page, base: str, name: str, address: str, path: Path) -> None:
    """One picture, of the whole page."""
    page.goto(base + address)
    prepare(page, name)
    if page.locator("#live").count():
        page.locator("#live").filter(has_text="Live").wait_for()
    page.evaluate("document.fonts.ready")
    page.screenshot(path=str(path), full_page=True, animations="disabled")


@contextmanager
def working_stack(folder: Path) -> Iterator[tuple[str, str]]:
    """A stack with keys, at work; its address and the id of the job to look at."""
    keys = {"TEXTMILL_ADMIN_KEY": ADMIN_KEY, "HF_HUB_OFFLINE": "1"}
    with (
        (folder / "up.log").open("wb") as log,
        BackgroundStack(
            folder / "data",
            flags=("--device", "cpu", "--workers", "1"),
            environment=keys,
            output=log,
            ready_timeout_seconds=10 * PATIENCE_SECONDS,
        ) as stack,
    ):
        yield stack.url, give_work(Textmill(stack.url, api_key=project_key(stack.url)))


def main() -> None:
    """Takes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", help="only these, by their names in tests/browser/pages.py")
    asked = parser.parse_args()
    if (missing := why_not()) is not None:
        sys.exit(missing)
    asked.folder.mkdir(parents=True, exist_ok=True)
    wanted = {name: PAGES[name] for name in asked.pages or PAGES}
    with (
        tempfile.TemporaryDirectory() as data,
        working_stack(Path(data)) as (url, job_id),
        chromium() as browser,
    ):
        for size, scheme in _LOOKS:
            with seat(browser, url, size, scheme=scheme) as visitor:
                page = visitor.open("/console/login")
                page.get_by_label("API key").fill(ADMIN_KEY)
                page.get_by_role("button", name="Sign in").click()
                for name, address in wanted.items():
                    path = (
                        asked.folder / f"{name.replace(', ', '-').replace(' ', '-')}-{size[0]}-{scheme}.png"
                    )
                    take(page, url, name, address.format(job=job_id), path)
                for problem in visitor.problems:
                    print(problem, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
