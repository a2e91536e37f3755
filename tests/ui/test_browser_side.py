"""Conversations in Chromium: found again, searched, renamed, deleted, exported, kept apart."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.ui.hands import TEXT, Hands
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_reload_finds_the_conversation_again(me: Hands) -> None:
    me.ask("Remember this")
    found = me.conversation()
    assert len(found) == 32
    me.page.reload()
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: Remember this")
    assert me.conversation() == found
    assert me.questions() == ["Remember this"]
    assert me.ask("And more") == "Echo: And more"
    assert me.conversation() == found


def test_new_and_back_and_open(me: Hands) -> None:
    me.ask("The first talk")
    first = me.conversation()
    me.new()
    assert me.conversation() == ""
    me.ask("The second talk")
    assert me.conversation() != first
    assert me.listed() == ["The second talk", "The first talk"]
    me.page.get_by_role("link", name="The first talk").click()
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: The first talk")
    assert me.conversation() == first
    me.page.go_back()
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: The second talk")


def test_an_answer_does_not_follow_into_another_conversation(me: Hands, site: Site) -> None:
    me.ask("Quiet place")
    me.page.click("#qw-new")
    site.script(words=("word",) * 3000, delay=0.01)
    # At once: what is sent on the way to a new conversation belongs to the new one.
    me.say("Loud place")
    expect(me.page.locator(".bot-row .md").last).to_contain_text("word")
    assert me.questions() == ["Loud place"]
    me.page.get_by_role("link", name="Quiet place").click()
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: Quiet place")
    me.done()
    assert site.loader.running == 0
    assert me.questions() == ["Quiet place"]
    assert "word" not in me.page.locator("#qw-chat").inner_text()
    me.page.get_by_role("link", name="Loud place").click()
    expect(me.page.locator(".bot-row")).to_contain_text("word")


def test_search_finds_two_chinese_characters(me: Hands) -> None:
    me.ask("量子力学是什么？")
    me.new().ask("Bread recipes")
    me.page.fill("#qw-search input, #qw-search textarea", "力学")
    expect(me.page.locator(".qw-list li")).to_have_count(1)
    assert me.listed() == ["量子力学是什么？"]
    me.page.fill("#qw-search input, #qw-search textarea", "nothing like it")
    expect(me.page.locator(".qw-list")).to_contain_text("Nothing found for “nothing like it”.")


def test_rename(me: Hands) -> None:
    me.ask("Old name")
    me.menu("Old name", "Rename")
    field = me.page.locator("#qw-dialog input")
    expect(field).to_have_value("Old name")
    field.fill("New <b>name</b>")
    field.press("Enter")
    expect(me.page.locator(".qw-list li a")).to_have_text("New <b>name</b>")
    me.page.reload()
    expect(me.page.locator(".qw-list li a")).to_have_text("New <b>name</b>")


def test_delete_asks_first(me: Hands) -> None:
    me.ask("Short-lived")
    me.menu("Short-lived", "Delete")
    expect(me.page.locator("#qw-dialog")).to_contain_text("“Short-lived” will be deleted")
    me.page.keyboard.press("Escape")
    assert me.listed() == ["Short-lived"]
    me.menu("Short-lived", "Delete")
    me.page.click("#qw-dialog .qw-danger")
    expect(me.page.locator(".qw-welcome")).to_be_visible()
    assert me.listed() == [] and me.conversation() == ""


@pytest.mark.parametrize("entry", ["Export as Markdown", "Export as JSON"])
def test_export(me: Hands, entry: str) -> None:
    me.ask("Keep this / safe")
    with me.page.expect_download() as download:
        me.menu("Keep this", entry)
    text = download.value.path().read_text(encoding="utf-8")
    assert "Echo: Keep this / safe" in text
    if entry.endswith("JSON"):
        assert [m["role"] for m in json.loads(text)["messages"]] == ["user", "assistant"]
        assert download.value.suggested_filename == "Keep this _ safe.json"


def test_two_visitors_do_not_see_each_other(tab: Callable[..., Hands]) -> None:
    mine, other = tab().open().ready(), tab().open().ready()
    mine.ask("My secret garden")
    found = mine.conversation()
    assert other.page.request.get(f"{other.url}/ui/export/{found}.md").status == 404
    other.open(f"/?c={found}")
    expect(other.page.get_by_text("not here any more")).to_be_visible()
    expect(other.page.locator(".qw-welcome")).to_be_visible()
    assert other.listed() == [] and other.conversation() == ""
    other.page.fill("#qw-search input, #qw-search textarea", "secret")
    expect(other.page.locator(".qw-list")).to_contain_text("Nothing found")
    assert "garden" not in other.page.content()
    assert mine.ask("Still mine") == "Echo: Still mine"


def test_two_tabs_of_one_visitor_share_what_is_stored(me: Hands) -> None:
    me.ask("Seen by both")
    second = Hands(me.page.context.new_page(), me.url).open(f"/?c={me.conversation()}")
    assert second.questions() == ["Seen by both"]
    second.ask("From the second tab")
    me.say("From the first tab")
    expect(me.page.locator(".bot-row").last).to_contain_text("Echo: From the first tab")
    me.done()
    assert me.questions() == ["Seen by both", "From the second tab", "From the first tab"]


def test_a_draft_survives_the_language_switch(me: Hands) -> None:
    me.ask("Before the switch")
    me.page.fill(TEXT, "half a thought")
    me.page.click("[data-do=language]")
    expect(me.page.locator("#qw-send")).to_have_text("发送")
    expect(me.page.locator(TEXT)).to_have_value("half a thought")
    expect(me.page.locator(".bot-row")).to_be_visible()
    assert me.questions() == ["Before the switch"]


def test_a_refused_event_covers_nothing(me: Hands, site: Site) -> None:
    me.ask("Here and gone")
    owner = next(c["value"] for c in me.page.context.cookies() if c["name"] == "qw_owner")
    site.call(site.services.store.delete(owner, me.conversation()))
    me.page.get_by_role("link", name="Here and gone").click()
    expect(me.page.get_by_text("It is not here any more")).to_be_visible()
    assert me.page.locator("[data-testid=status-tracker]:visible").count() == 0
    me.new()
    assert me.ask("Another one") == "Echo: Another one"
