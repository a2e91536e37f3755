"""Citations in Chromium: verdicts in and under the answer, the page behind them, a long reading."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.hands import Hands, until
from tests.ui.site import Site
from tests.ui.test_browser_access import serious
from tests.ui.test_citations import ANSWER, BOOK, CAPTAIN, LONG

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def attach(me: Hands, folder: Path, content: bytes) -> None:
    """Choose a file, as a person does."""
    path = folder / "lorna.pdf"
    path.write_bytes(content)
    with me.page.expect_file_chooser() as chosen:
        me.page.click("[data-do=attach]")
    chosen.value.set_files(path)
    expect(me.page.locator("[data-documents=chat] input:checked")).to_have_count(1)


def dialog(me: Hands) -> Locator:
    return me.page.locator("#qw-dialog[open]")


def look(me: Hands) -> None:
    """What an answer must show, now and after a reload."""
    answer = me.page.locator(".bot-row")
    expect(answer.locator(".qw-read")).to_contain_text("From the whole document (3 pages")
    verified = answer.locator("a.qw-cite.qw-verified")
    expect(verified).to_have_text(["[p. 2]"])
    expect(verified).to_have_attribute("title", "on page 2")
    expect(answer.locator("a.qw-cite.qw-other-page")).to_contain_text("on page 3, not 1")
    expect(answer.locator("a.qw-cite.qw-not-found")).to_contain_text("not found in the document")
    listed = answer.locator(".qw-cites li")
    expect(listed.first).to_contain_text(CAPTAIN)
    expect(answer.locator(".qw-cites .qw-no-page")).to_contain_text("there is no page 9")
    expect(answer.locator("code")).to_have_text('"code of it" [p. 2]')


def test_citations_and_the_pages_behind_them(me: Hands, site: Site, tmp_path: Path) -> None:
    site.script(answer=lambda spec, request: ANSWER)
    attach(me, tmp_path, BOOK)
    me.say("Who is the captain?").done()
    look(me)
    assert serious(me.page) == []
    me.page.locator(".qw-cites .qw-verified a").focus()
    me.page.keyboard.press("Enter")
    expect(dialog(me).locator("h2")).to_have_text("lorna.pdf")
    expect(dialog(me).locator("mark")).to_have_text(CAPTAIN.rstrip("."))
    me.page.get_by_role("button", name="Next").click()
    expect(dialog(me)).to_contain_text("Page 3 of 3")
    expect(me.page.get_by_role("button", name="Previous")).to_be_focused()
    me.page.keyboard.press("Enter")
    expect(dialog(me).locator("mark")).to_be_visible()
    assert serious(me.page) == []
    me.page.keyboard.press("Escape")
    me.page.locator(".qw-cites .qw-not-found a").first.click()
    expect(dialog(me)).to_contain_text("stand nowhere")
    expect(dialog(me).locator("mark")).to_have_count(0)
    me.page.keyboard.press("Escape")
    me.page.locator(".qw-sources").click()
    expect(dialog(me)).to_contain_text("What was read for this answer")
    me.page.keyboard.press("Escape")
    me.page.reload()
    me.open(f"/?c={me.conversation()}")
    look(me)


def test_a_long_passage_is_brought_into_view(me: Hands, site: Site, tmp_path: Path) -> None:
    words = "\n\n".join(f"Line {n} is about nothing at all." for n in range(90)) + f"\n\n{CAPTAIN}"
    site.script(answer=lambda spec, request: f'Source: "{CAPTAIN}"')
    path = tmp_path / "words.txt"
    path.write_text(words)
    with me.page.expect_file_chooser() as chosen:
        me.page.click("[data-do=attach]")
    chosen.value.set_files(path)
    expect(me.page.locator("[data-documents=chat] input:checked")).to_have_count(1)
    me.say("Who is the captain of the Lorna?").done()
    me.page.locator(".qw-cites a").click()
    expect(dialog(me).locator("mark").first).to_be_in_viewport()


def test_a_reading_part_after_part_shows_where_it_is_and_stops(
    tab: Callable[..., Hands], site: Site, tmp_path: Path
) -> None:
    me = (
        tab(locale="zh-CN", color_scheme="dark", viewport={"width": 390, "height": 800})
        .open()
        .ready()
    )
    site.script(answer=lambda spec, request: "They are calm.", prefill=0.6)
    attach(me, tmp_path, LONG)
    me.say("总结一下")
    waits = me.page.locator(".qw-wait")
    expect(waits).to_contain_text(re.compile(r"正在读取第 2 部分，共 \d 部分"))
    expect(waits.locator("progress")).to_be_visible()
    me.page.click("#qw-stop")
    assert until(lambda: site.loader.running == 0) < 2.5
    me.done()
    # What was read is told, also after a reload, and the question can be answered again.
    for _ in range(2):
        read = me.page.locator(".qw-read")
        expect(read).to_contain_text(
            re.compile(r"已读 \d 部分，回答之前已结束；\d+ 页全部或部分未读")
        )
        expect(me.page.locator(".bot-row .qw-facts")).to_have_text("已停止")
        me.open(f"/?c={me.conversation()}")
    read.locator("a").click()
    expect(dialog(me)).to_contain_text("未读")
    me.page.keyboard.press("Escape")
    site.script(answer=lambda spec, request: "They are calm.")
    me.page.locator(".qw-act-regenerate").click()
    expect(read).to_contain_text("依据全部 30 页")
    me.done()
    site.script(answer=lambda spec, request: "文中没有。\n出处：无")
    me.say("谁是船长？").done()
    expect(me.page.locator(".qw-none-said").last).to_contain_text("没有提到")
    assert serious(me.page) == []
    # Nothing is wider than a phone.
    assert me.page.evaluate("document.documentElement.scrollWidth") <= 390
