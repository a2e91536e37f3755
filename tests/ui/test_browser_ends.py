"""How answers end without Stop, in Chromium: closed tabs, reloads, full lines, lost servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import Browser, expect

from qwen_webui.store import StoredMessage
from tests.ui.hands import TEXT, Hands, until
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("moment", ["prefill", "stream"])
def test_a_closed_tab_frees_the_engine(me: Hands, site: Site, moment: str) -> None:
    site.script(words=("word",) * 5000, delay=0.02, prefill=30.0 if moment == "prefill" else 0.0)
    me.say("Nobody will read this")
    until(lambda: site.loader.running == 1)
    if moment == "stream":
        expect(me.page.locator(".bot-row")).to_contain_text("word")
    me.page.close()
    assert until(lambda: site.loader.running == 0) < 5.0


def test_a_closed_tab_leaves_the_line(tab: Callable[..., Hands], site: Site) -> None:
    site.script(words=("word",) * 5000, delay=0.02)
    first, second, third = (tab().open() for _ in range(3))
    for talk in (first, second):
        talk.say("Take a place")
        expect(talk.page.locator(".bot-row")).to_contain_text("word")
    third.say("Wait in line")
    expect(third.page.locator(".qw-wait")).to_contain_text("Waiting in line, place 1")
    third.page.close()
    until(lambda: site.services.manager.status().waiting == 0, 5.0)
    for talk in (first, second):
        talk.page.click("#qw-stop")
        talk.done()


def test_stop_is_for_ones_own_answer(tab: Callable[..., Hands], site: Site) -> None:
    site.script(words=("word",) * 5000, delay=0.02)
    mine, other = tab().open(), tab().open()
    for talk in (mine, other):
        talk.say("Go on")
        expect(talk.page.locator(".bot-row")).to_contain_text("word")
    mine.page.click("#qw-stop")
    mine.done()
    assert site.loader.running == 1
    before = len(other.page.locator(".bot-row").inner_text())
    until(lambda: len(other.page.locator(".bot-row").inner_text()) > before)
    other.page.click("#qw-stop")
    other.done()


def test_a_reload_mid_answer_cancels_it_and_keeps_what_came(me: Hands, site: Site) -> None:
    site.script(words=("word",) * 5000, delay=0.02)
    me.say("To be cut")
    expect(me.page.locator(".bot-row")).to_contain_text("word word")
    me.page.reload()
    until(lambda: site.loader.running == 0, 5.0)
    me.open(f"/?c={me.conversation()}")
    expect(me.page.locator(".bot-row")).to_contain_text("word word")
    site.script()
    assert me.ask("Next") == "Echo: Next"


def test_stop_acts_in_a_long_conversation(me: Hands, site: Site) -> None:
    """Fifty turns of 2 kB: the page must not drown in its own updates."""
    me.ask("The first of many")
    owner = next(c["value"] for c in me.page.context.cookies() if c["name"] == "qw_owner")
    text = "Some **words** and `code` of an answer. " * 50
    turn = [StoredMessage("user", "And then?"), StoredMessage("assistant", text)]
    site.call(site.services.store.append(owner, me.conversation(), turn * 50))
    me.page.reload()
    expect(me.page.locator(".bot-row")).to_have_count(51, timeout=30_000)
    me.ready()
    site.script(words=("word",) * 5000, delay=0.01)
    me.say("One more")
    expect(me.page.locator(".bot-row").last).to_contain_text("word word", timeout=20_000)
    me.page.wait_for_timeout(2000)
    pressed = monotonic()
    me.page.keyboard.press("Escape")
    until(lambda: site.loader.running == 0)
    assert monotonic() - pressed < 1.5
    me.done()


def test_when_the_line_is_full_nothing_is_lost(browser: Browser, tmp_path: Path) -> None:
    site = Site(tmp_path, max_running=1, max_waiting=0).start()
    try:
        site.script(words=("word",) * 5000, delay=0.02)
        contexts = [browser.new_context() for _ in range(2)]
        first, second = (Hands(c.new_page(), site.url).open().ready() for c in contexts)
        first.say("I was first")
        expect(first.page.locator(".bot-row")).to_contain_text("word")
        second.say("And I am late")
        expect(second.page.locator(".qw-error")).to_contain_text("busy")
        assert second.questions() == ["And I am late"]
        first.page.click("#qw-stop")
        first.done()
        site.script()
        second.page.get_by_role("button", name="Try again").click()
        expect(second.page.locator(".bot-row")).to_contain_text("Echo: And I am late")
        for context in contexts:
            context.close()
    finally:
        site.stop()


def test_a_restart_of_the_server_loses_nothing(browser: Browser, tmp_path: Path) -> None:
    site = Site(tmp_path).start()
    context = browser.new_context()
    try:
        me = Hands(context.new_page(), site.url).open().ready()
        me.ask("Before the restart")
        me.page.fill(TEXT, "typed meanwhile")
        site.stop()
        expect(me.page.locator(".qw-lost")).to_be_visible(timeout=20_000)
        site.start()
        expect(me.page.locator(".qw-lost")).to_be_hidden(timeout=20_000)
        me.ready()
        expect(me.page.locator(TEXT)).to_have_value("typed meanwhile")
        expect(me.page.locator(".bot-row")).to_contain_text("Echo: Before the restart")
        assert me.ask("After the restart") == "Echo: After the restart"
        assert me.questions() == ["Before the restart", "After the restart"]
        said = [m.content for m in site.loader.requests[-1].messages if m.role != "system"]
        assert said == ["Before the restart", "Echo: Before the restart", "After the restart"]
    finally:
        context.close()
        site.stop()


def test_the_page_comes_before_the_model_and_a_message_waits_for_it(
    browser: Browser, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    site.script(load_delay=6.0)
    site.start()
    context = browser.new_context()
    try:
        me = Hands(context.new_page(), site.url).open()
        expect(me.page.locator(".qw-chip")).to_contain_text("Loading")
        me.say("I could not wait")
        expect(me.page.locator(".qw-wait")).to_contain_text("Waiting for demo-fp16 to load")
        expect(me.page.locator(".bot-row")).to_contain_text(
            "Echo: I could not wait", timeout=20_000
        )
        me.done()
        expect(me.page.locator(".qw-meter")).to_contain_text("of 4,096 tokens")
        assert me.page.locator(".qw-error").count() == 0
    finally:
        context.close()
        site.stop()
