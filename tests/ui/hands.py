"""What a person does with the page, for the browser tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic, sleep

from playwright.sync_api import Page, expect

TEXT = "#qw-text textarea"
# Deadlines are the promised ones with room for a busy machine.
PATIENCE = 20_000


def until(meets: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until the condition held; fails when it does not."""
    started = monotonic()
    while not meets():
        assert monotonic() - started < seconds, "it did not happen in time"
        sleep(0.01)
    return monotonic() - started


class Hands:
    """One tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, path: str = "/") -> Hands:
        self.page.goto(self.url + path)
        expect(self.page.locator(".qw-meter")).to_be_visible(timeout=PATIENCE)
        shown = self.page.locator(".message-row, .qw-welcome").first
        expect(shown).to_be_visible(timeout=PATIENCE)
        return self

    def ready(self) -> Hands:
        """Wait for the model."""
        expect(self.page.locator(".qw-chip.qw-ready")).to_be_visible(timeout=PATIENCE)
        return self

    def say(self, text: str) -> Hands:
        """Type and send; return at once."""
        self.page.fill(TEXT, text)
        self.page.press(TEXT, "Enter")
        return self

    def new(self) -> Hands:
        """Begin a new conversation."""
        self.page.click("#qw-new")
        expect(self.page.locator(".qw-welcome")).to_be_visible()
        return self

    def done(self) -> Hands:
        """Wait for the end of the answer."""
        expect(self.page.locator("#qw-stop")).to_be_hidden(timeout=PATIENCE)
        expect(self.page.locator("#qw-send")).to_be_visible(timeout=PATIENCE)
        return self

    def ask(self, text: str) -> str:
        """Send, wait for the whole answer, and read it."""
        before = self.page.locator(".bot-row .qw-facts").count()
        self.say(text)
        expect(self.page.locator(".bot-row .qw-facts")).to_have_count(before + 1, timeout=PATIENCE)
        self.done()
        return self.answers()[-1]

    def answers(self) -> list[str]:
        """The answers' texts, without what stands under them."""
        rows = self.page.locator(".bot-row .message-content:not(:has(.qw-foot))").all()
        return [row.inner_text().strip() for row in rows]

    def questions(self) -> list[str]:
        """What was asked, as shown."""
        return [row.inner_text() for row in self.page.locator(".user-row .qw-said").all()]

    def facts(self) -> list[str]:
        """The line under each answer."""
        return [row.inner_text() for row in self.page.locator(".bot-row .qw-facts").all()]

    def conversation(self) -> str:
        """The id in the address."""
        found = re.search(r"[?&]c=([0-9a-f]{32})", self.page.url)
        return found[1] if found else ""

    def listed(self) -> list[str]:
        """Titles in the sidebar."""
        return [row.inner_text() for row in self.page.locator(".qw-list li a").all()]

    def choose_model(self, name: str) -> Hands:
        """Load a model from the list."""
        self.page.click(".qw-bar [data-do=models]")
        self.page.locator(f"#qw-dialog input[value='{name}']").check()
        self.page.click(f"#qw-dialog [data-for='{name}'] [data-load]")
        return self

    def menu(self, title: str, entry: str) -> None:
        """Choose from the menu of a conversation."""
        row = self.page.locator(".qw-list li", has_text=title)
        row.hover()
        row.locator("[data-menu]").click()
        self.page.get_by_role("menuitem", name=entry).click()
