"""For everyone, in Chromium: both languages, narrow, by keyboard, read aloud, and never elsewhere.

The fixture `tab` fails every test in which the page asks another host for anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.ui.hands import TEXT, Hands
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<iframe src='https://other.example/'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "![x](https://other.example/x.png)",
    "![x][1]\n\n[1]: https://other.example/y.png",
    "<img src=https://other.example/z.png>",
    "<video src=https://other.example/v.mp4 autoplay></video>",
    "<style>@import 'https://other.example/s.css';</style>",
    '<div style="background:url(https://other.example/b.png)">x</div>',
    "<form action=https://other.example><button autofocus>x</button></form>",
    "<link rel=stylesheet href=https://other.example/l.css>",
    "<meta http-equiv=refresh content='0;url=https://other.example/'>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<math><mtext><img src=x onerror=alert(1)></mtext></math>",
    "$$\\href{javascript:alert(1)}{x}$$ $$\\includegraphics{https://other.example/k.png}$$",
    "```html\n<img src=x onerror=alert(1)>\n```",
    "`a` ``<img src=x onerror=alert(1)>` <img src=x onerror=alert(1)>",
    "</div></div><img src=x onerror=alert(1)>",
)


def serious(page: Page) -> list[str]:
    """What axe finds of the two upper levels, rule and places."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{v['id']}: {[n['html'][:150] for n in v['nodes']]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_axe_finds_nothing_serious(tab: Callable[..., Hands], scheme: str, locale: str) -> None:
    me = tab(locale=locale, color_scheme=scheme, reduced_motion="reduce").open().ready()
    assert serious(me.page) == []
    me.ask("Something with `code` and a\n\n| table | here |\n|---|---|\n| 1 | 2 |")
    me.page.click("#qw-sampling > button")
    me.page.wait_for_timeout(500)
    assert serious(me.page) == []
    me.page.click(".qw-bar [data-do=models]")
    expect(me.page.locator("#qw-dialog table")).to_be_visible()
    assert serious(me.page) == []
    me.page.keyboard.press("Escape")
    me.page.locator("[data-menu]").click()
    assert serious(me.page) == []


def test_the_language_of_the_browser_and_the_switch(tab: Callable[..., Hands]) -> None:
    me = tab(locale="zh-CN").open().ready()
    chinese = me.page.inner_text("body") + (me.page.get_attribute(TEXT, "placeholder") or "")
    for word in (
        "新对话",
        "发送",
        "角色",
        "系统消息",
        "采样",
        "上下文",
        "内存",
        "通用助手",
        "输入消息",
    ):
        assert word in chinese
    assert me.page.get_attribute("html", "lang") == "zh-CN"
    # Names that stay, whatever the language.
    names = r"Qwen WebUI|Qwen2.5-[\w.]+-Instruct|GiB|MiB|EN|CPU|JSON"
    foreign = re.sub(names, "", me.page.inner_text("body"))
    assert not re.search(r"[A-Za-z]{2,}", foreign)
    me.page.click("[data-do=language]")
    expect(me.page.locator("#qw-send")).to_have_text("Send")
    expect(me.page.locator(".qw-meter")).to_contain_text("tokens")
    assert me.page.get_attribute("html", "lang") == "en"
    english = me.page.inner_text("body").replace("中文", "")
    assert not re.search(r"[\u4e00-\u9fff]", english)
    me.page.reload()
    expect(me.page.locator("#qw-send")).to_have_text("Send")


def test_a_phone(tab: Callable[..., Hands], site: Site) -> None:
    me = tab(viewport={"width": 390, "height": 780}, has_touch=True).open().ready()
    wide = "a_very_long_word_" * 20 + "\n\n```\n" + "x" * 300 + "\n```\n\n|" + "cell|" * 30
    site.script(answer=lambda spec, request: wide)
    me.ask("unbroken" * 40)
    assert sideways(me.page) == 0
    me.page.click(".qw-top [data-do=side]")
    expect(me.page.locator("#qw-new")).to_be_visible()
    assert sideways(me.page) == 0
    me.page.keyboard.press("Escape")
    expect(me.page.locator("#qw-new")).to_be_hidden()
    me.page.click(".qw-top [data-do=panel]")
    expect(me.page.locator("#qw-system")).to_be_visible()
    assert sideways(me.page) == 0
    me.page.click("#qw-panel [data-do=panel]")
    me.page.click(".qw-bar [data-do=models]")
    expect(me.page.locator("#qw-dialog table")).to_be_visible()
    assert sideways(me.page) == 0
    inner = "document.querySelector('.qw-dialog-body')"
    assert me.page.evaluate(f"{inner}.scrollWidth - {inner}.clientWidth") == 0
    assert serious(me.page) == []


def sideways(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def press_until(page: Page, selector: str, key: str = "Tab", most: int = 60) -> None:
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate(f"document.activeElement?.matches({selector!r}) ?? false"):
            return
    raise AssertionError(f"{selector} was not reached with {key}")


def test_by_keyboard_alone(tab: Callable[..., Hands], site: Site) -> None:
    me = tab(permissions=["clipboard-read", "clipboard-write"]).open().ready()
    page = me.page
    expect(page.locator(TEXT)).to_be_focused()
    page.keyboard.type("Line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    page.keyboard.press("Enter")
    expect(page.locator(".bot-row .qw-facts")).to_be_visible()
    me.done()
    assert me.questions() == ["Line one\nline two"]
    site.script(words=("word",) * 3000, delay=0.02)
    page.keyboard.type("Stop me")
    page.keyboard.press("Enter")
    expect(page.locator(".bot-row").last).to_contain_text("word")
    page.keyboard.press("Escape")
    me.done()
    assert site.loader.running == 0
    site.script()
    press_until(page, ".bot-row .qw-act-copy", "Shift+Tab")
    page.keyboard.press(" ")
    expect(page.locator(".qw-act-copy.qw-done")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("word")
    press_until(page, "[data-do=models]", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#qw-dialog input:checked")).to_be_focused()
    page.keyboard.press("ArrowRight")
    press_until(page, "[data-load='demo-gptq-int8']")
    page.keyboard.press("Enter")
    expect(page.locator(".qw-chip.qw-ready")).to_contain_text("GPTQ Int8", timeout=20_000)


def test_what_has_the_focus_is_seen(me: Hands) -> None:
    for _ in range(25):
        me.page.keyboard.press("Tab")
        seen = me.page.evaluate(
            """() => { const e = document.activeElement;
            if (!e || e === document.body) return "nothing";
            const ring = (x) => { const s = getComputedStyle(x);
              return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1
                || s.boxShadow !== "none"; };
            for (let x = e; x && x !== document.body; x = x.parentElement)
              if (ring(x)) return "";
            return e.outerHTML.slice(0, 200); }"""
        )
        assert seen in ("", "nothing")


def test_payloads_stay_words(me: Hands, site: Site) -> None:
    """In the question, in the answer, in the title and in the system message."""
    site.script(answer=lambda spec, request: request.messages[-1].content)
    everything = "\n\n".join(PAYLOADS)
    me.page.fill("#qw-system textarea", PAYLOADS[1])
    me.ask(PAYLOADS[1] + everything)
    shown = me.page.locator(".bot-row")
    assert me.questions() == [PAYLOADS[1] + everything]
    for tag in ("script", "img", "iframe", "video", "form", "link", "meta", "style"):
        assert shown.locator(tag).count() == 0, tag
        assert me.page.locator(f".user-row {tag}").count() == 0, tag
    assert "<img src=x onerror=alert(1)>" in shown.inner_text()
    me.page.reload()
    me.open(f"/?c={me.conversation()}")
    expect(me.page.locator(".qw-list li a")).to_contain_text("<img src=x onerror")
    me.menu("<img", "Delete")
    me.page.wait_for_timeout(500)


def test_dark_and_light_are_remembered(me: Hands) -> None:
    body = me.page.locator("body")
    expect(body).not_to_have_class(re.compile("dark"))
    me.page.click("[data-do=theme]")
    expect(body).to_have_class(re.compile("dark"))
    me.page.reload()
    expect(me.page.locator(".qw-meter")).to_be_visible()
    expect(body).to_have_class(re.compile("dark"))


def test_the_example_for_programs_works(me: Hands) -> None:
    me.page.click("[data-do=about]")
    python = me.page.locator("#qw-dialog pre").last.inner_text()
    assert f'"{me.url}/api/generate"' in python
    scope: dict[str, Any] = {}
    lines = python.replace("import requests", "import httpx as requests")
    exec(lines.replace("print(", "said = ("), scope)
    assert scope["said"] == "Echo: Which sea is the saltiest?"
