"""The login in Chromium: in, out, wrong keys, both languages, narrow, who may load, an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import CHROMIUM
from tests.ui.hands import PATIENCE, Hands, until
from tests.ui.site import Site
from tests.ui.test_browser_access import serious

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY, ADMIN = "an-ordinary-key", "the-admins-key"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """In place of the one without keys."""
    assert CHROMIUM is None or CHROMIUM.startswith("/")
    site = Site(tmp_path_factory.mktemp("keyed"), api_key=KEY, admin_key=ADMIN).start()
    yield site
    site.stop()


def enter(page: Page, key: str) -> None:
    page.fill("#key", key)
    page.press("#key", "Enter")


def test_in_with_a_key_and_out_again(tab: Callable[..., Hands]) -> None:
    me = tab()
    me.page.goto(me.url + "/")
    expect(me.page).to_have_title("Log in · Qwen WebUI")
    expect(me.page.locator("#key")).to_be_focused()
    enter(me.page, "not the key")
    expect(me.page.get_by_role("alert")).to_contain_text("not one of this server's")
    enter(me.page, KEY)
    expect(me.page.locator(".qw-meter")).to_be_visible(timeout=PATIENCE)
    assert me.page.url == me.url + "/"
    me.ready()
    assert me.ask("good morning") == "Echo: good morning"
    conversation = me.conversation()
    me.page.click("[data-do=logout]")
    expect(me.page.locator("#key")).to_be_visible(timeout=PATIENCE)
    # Back to where one was.
    enter(me.page, KEY)
    expect(me.page.locator(".bot-row").first).to_contain_text("good morning", timeout=PATIENCE)
    assert me.conversation() == conversation


def test_an_address_with_the_key_leaves_no_key_behind(tab: Callable[..., Hands]) -> None:
    """reliability line 53"""
    me = tab()
    me.open(f"/login?key={KEY}").ready()
    assert me.page.url == me.url + "/"
    assert KEY not in me.page.evaluate("document.cookie + JSON.stringify({...localStorage})")
    assert me.ask("hello") == "Echo: hello"


def test_a_login_that_ends_leads_back_to_itself(tab: Callable[..., Hands]) -> None:
    me = tab()
    me.open(f"/login?key={KEY}").ready()
    me.page.fill("#qw-text textarea", "a draft that is kept")
    cookies = [c for c in me.page.context.cookies() if not c["name"].startswith("qw_login")]
    me.page.context.clear_cookies()
    me.page.context.add_cookies(cookies)  # type: ignore[arg-type]
    expect(me.page.locator("#key")).to_be_visible(timeout=PATIENCE)
    enter(me.page, KEY)
    box = me.page.locator("#qw-text textarea")
    expect(box).to_have_value("a draft that is kept", timeout=PATIENCE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("locale", "title"), [("en-GB", "Log in"), ("zh-CN", "登录")])
def test_the_page_is_for_everyone(
    tab: Callable[..., Hands], scheme: str, locale: str, title: str
) -> None:
    """reliability line 67"""
    me = tab(locale=locale, color_scheme=scheme, viewport={"width": 390, "height": 700})
    me.page.goto(me.url + "/login?next=docs")
    expect(me.page.get_by_role("heading")).to_have_text(title)
    assert me.page.evaluate("document.documentElement.scrollWidth") <= 390
    enter(me.page, "not the key")
    expect(me.page.get_by_role("alert")).to_be_visible()
    assert serious(me.page) == []
    other = "登录" if title == "Log in" else "Log in"
    me.page.click("header a")
    expect(me.page.get_by_role("heading")).to_have_text(other)
    enter(me.page, KEY)
    expect(me.page).to_have_url(me.url + "/docs")


@pytest.mark.parametrize(
    ("locale", "sentence"), [("en-GB", "server's admin key"), ("zh-CN", "管理密钥")]
)
def test_without_the_admins_key_nothing_can_be_loaded(
    tab: Callable[..., Hands], locale: str, sentence: str
) -> None:
    me = tab(locale=locale)
    me.open(f"/login?key={KEY}").ready()
    me.page.click(".qw-bar [data-do=models]")
    expect(me.page.locator("#qw-dialog .qw-note").first).to_contain_text(sentence)
    buttons = me.page.locator("#qw-dialog [data-load]")
    assert buttons.count() > 0
    assert all(button.is_disabled() for button in buttons.all())


def test_with_the_admins_key_it_can(tab: Callable[..., Hands], site: Site) -> None:
    me = tab()
    me.open(f"/login?key={ADMIN}").ready()
    me.choose_model("demo-gptq-int4")
    until(lambda: site.services.manager.status().name == "demo-gptq-int4")
    expect(me.page.locator(".qw-chip.qw-ready b")).to_have_text(re.compile("GPTQ Int4"))
