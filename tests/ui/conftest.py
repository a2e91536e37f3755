"""The site and a browser for the tests in this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from qwen_webui.engines.scripted import Script
from tests.ui.hands import Hands
from tests.ui.site import Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for the tests of a file; visitors are told apart by their cookies."""
    site = Site(tmp_path_factory.mktemp("site")).start()
    yield site
    site.stop()


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """The server, with an engine that echoes at once, and the first model loaded."""
    running.loader.script = Script()
    if running.services.manager.status().name != "demo-fp16":
        running.call(running.services.manager.load("demo-fp16"))
    yield running
    running.loader.script = Script()


# Playwright's loop lives in this thread, so no asynchronous test may run while it is there.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this computer; install it to run the browser tests")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Callable[..., Hands]]:
    """Makes tabs of visitors of their own; fails for errors in scripts and foreign requests."""
    wrong: list[str] = []
    contexts = []

    def make(**options: Any) -> Hands:
        context = browser.new_context(**{"locale": "en-GB"} | options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        _watch(page, site.url, wrong)
        return Hands(page, site.url)

    yield make
    for context in contexts:
        context.close()
    assert not wrong


def _watch(page: Page, url: str, wrong: list[str]) -> None:
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None,
    )
    page.on("dialog", lambda dialog: (wrong.append("a dialog opened"), dialog.dismiss()))

    def request(asked: Any) -> None:
        if not asked.url.startswith((url, "data:", "blob:")):
            wrong.append(f"request to {asked.url}")

    page.on("request", request)


@pytest.fixture
def me(tab: Callable[..., Hands]) -> Hands:
    """A visitor in front of the page, with a model ready."""
    return tab().open().ready()
