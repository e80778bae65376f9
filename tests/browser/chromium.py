"""Debian's Chromium, led by Playwright; `python -m tests.browser.chromium` says what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

#: The widths that the design draws, with a height each.
PHONE, DESK = (390, 844), (1280, 900)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WHAT_TO_INSTALL = "The console's tests need Chromium: install it (`apt-get install chromium`), or name one by CHROMIUM=PATH."
_WHAT_TO_MAKE = "The console's tests need Playwright: `make test-browser` installs it into .venv."
#: No name is found: what a page wants from elsewhere it does not get, as on a machine without a network.
_CUT_OFF = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def executable() -> str | None:
    """The browser of this machine."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


def why_not() -> str | None:
    """What is missing, and what to do about it; None: nothing."""
    if executable() is None:
        return _WHAT_TO_INSTALL
    return None if importlib.util.find_spec("playwright") else _WHAT_TO_MAKE


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser whose network ends at this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Of a container's root, and of its small /dev/shm.
        flags = ["--no-sandbox", "--disable-dev-shm-usage", _CUT_OFF]
        browser = playwright.chromium.launch(executable_path=executable(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seat:
    """Somebody at a screen: a browser profile of its own, and what went wrong on its pages."""

    context: BrowserContext
    base: str
    #: errors of scripts, violations of the policy, requests to elsewhere, pages that slide sideways
    problems: list[str] = field(default_factory=list)
    #: what the browser's console may say because a test wants it to happen
    expected: tuple[str, ...] = ()

    def open(self, address: str = "/") -> Page:
        """A tab at an address of the server."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.on("console", lambda message: self._say(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("request", lambda request: self._asks(request.url))
        page.goto(self.base + address)
        return page

    def _say(self, kind: str, text: str) -> None:
        if kind != "error" or any(part in text for part in self.expected):
            return
        self.problems.append(f"console: {text}")

    def _asks(self, url: str) -> None:
        if not url.startswith((self.base, "blob:", "data:")):
            self.problems.append(f"asked elsewhere: {url}")


@contextmanager
def seat(
    browser: Browser, base: str, size: tuple[int, int], *, scheme: str = "light", bypass_csp: bool = False
) -> Iterator[Seat]:
    """A profile without a past, at a screen of this size."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size == PHONE,
        is_mobile=size == PHONE,
        bypass_csp=bypass_csp,
        accept_downloads=True,
        timezone_id="Europe/Berlin",
    )
    try:
        yield Seat(context, base)
    finally:
        context.close()


if __name__ == "__main__":
    if (missing := why_not()) is not None:
        sys.exit(missing)
