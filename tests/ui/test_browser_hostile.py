"""The page in Chromium while others overload it, and with names that are made to be harmful.

The fixture `tab` fails for script errors, dialogs and requests to other hosts.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from qwen_webui.chat import Assistant
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.services import Services
from tests.ui import events
from tests.ui.hands import PATIENCE, TEXT, Hands, until
from tests.ui.site import Site
from tests.ui.test_browser_access import PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TAGS = ("script", "iframe", "video", "form", "link", "meta", "base", "object", "embed", "math")
# How many events Gradio runs at once; the others stand in its line.
AT_ONCE = 40


class HostileSite(Site):
    """With roles of one's own whose every text is a payload, and little room in Gradio's line."""

    async def _open(self) -> Services:
        services = await super()._open()
        assert self.settings.personas is not None
        personas = Personas.load(builtin_folder(), self.settings.personas)
        assistant = Assistant(services.manager, personas, services.structured)
        return dataclasses.replace(services, personas=personas, assistant=assistant)


def write_personas(folder: Path) -> Path:
    """A role for each payload, before all others in the list."""
    folder.mkdir()
    for number, payload in enumerate(PAYLOADS):
        text = json.dumps(payload)
        fields = [f'id = "p{number}"', f"order = {number - 100}"]
        fields += [f"{name} = {{en = {text}, zh = {text}}}" for name in ("name", "description")]
        fields += [f"system = {{en = {text}, zh = {text}}}"]
        fields += [f"examples = {{en = [{text}], zh = [{text}]}}"]
        (folder / f"p{number}.toml").write_text("\n".join(fields), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hostile")
    personas = write_personas(folder / "personas")
    site = HostileSite(folder, personas=personas, max_running=1, max_waiting=AT_ONCE).start()
    yield site
    site.stop()


def harmless(me: Hands) -> None:
    """No element that a payload asks for came into being."""
    assert me.page.locator("#qw-app img[src=x], #qw-app svg[onload]").count() == 0
    assert me.page.locator("[onerror], [onload]:not(link), [ontoggle]").count() == 0
    assert me.page.locator("#qw-app a[href^=javascript]").count() == 0
    for tag in TAGS:
        # One form is the page's own.
        found = me.page.locator(f"#qw-app {tag}:not([data-compare=form]), #qw-dialog {tag}")
        assert found.count() == 0, tag
    assert me.page.locator("#qw-app :is(img, source, input)[src*='other.example']").count() == 0


def test_names_and_texts_of_roles_stay_words(me: Hands, site: Site) -> None:
    """reliability line 55: in the list, the note, the welcome, the examples and the answer"""
    listed = {p.name["en"] for p in site.services.personas.all()}
    assert listed >= set(PAYLOADS)
    for number in (0, 1, 9, 20):
        box = me.page.locator("#qw-panel input[role=listbox], #qw-panel [role=combobox]").first
        box.click()
        option = me.page.get_by_role("option").nth(number)
        assert option.inner_text().strip().removeprefix("✓").strip()[:12] == PAYLOADS[number][:12]
        harmless(me)
        option.click()
        expect(me.page.locator("#qw-system textarea")).to_have_value(PAYLOADS[number])
        me.page.wait_for_timeout(200)
        harmless(me)
    assert me.ask("Who are you?") == "Echo: Who are you?"
    harmless(me)
    assert site.loader.requests[-1].messages[0].content == PAYLOADS[20]
    me.page.reload()
    expect(me.page.locator(".bot-row")).to_contain_text("Echo", timeout=PATIENCE)
    harmless(me)
    me.new()
    me.page.wait_for_timeout(300)
    harmless(me)


@contextmanager
def full_line(site: Site) -> Iterator[None]:
    """Others' events until Gradio takes no more; they go on when this ends."""
    site.script(prefill=600.0)
    cookies = {"qw_owner": secrets.token_hex(16)}
    with httpx.Client(base_url=site.url, cookies=cookies, timeout=60) as client:
        send = events.handler(client, "qw-text", "submit")
        cheap = events.handler(client, "qw-do-edit-cancel", "submit")
        stop = events.handler(client, "qw-stop", "click")
        data = ["Wait", "", "", "general", "", None, 0.7, 0.8, 20, 1.05, 0, "", ""]
        sessions = [secrets.token_hex(16) for _ in range(AT_ONCE)]
        for session in sessions:
            assert events.join(client, send, data, session).status_code == 200
        until(lambda: site.services.manager.status().waiting == AT_ONCE - 1)
        for _ in range(1_000):
            answer = events.join(client, cheap, [], secrets.token_hex(16))
            if answer.status_code != 200:
                break
        assert answer.status_code == 503
        yield
        site.script()
        for session in sessions:
            assert events.at_once(client, stop, [], session).status_code == 200
        until(lambda: site.services.manager.status().waiting == site.loader.running == 0)


def test_when_gradios_own_line_is_full_the_page_says_so_and_lives_on(
    tab: Callable[..., Hands], site: Site
) -> None:
    """reliability line 3"""
    me = tab().open().ready()
    with full_line(site):
        me.say("Is anybody there?")
        toast = me.page.locator(".toast-body, [data-testid=toast-body]").first
        expect(toast).to_contain_text("busy", timeout=PATIENCE)
        expect(me.page.locator(TEXT)).to_have_value("Is anybody there?")
        assert httpx.get(f"{site.url}/healthz").status_code == 200
        assert httpx.get(f"{site.url}/").status_code == 200
    me.page.press(TEXT, "Enter")
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: Is anybody there?", timeout=PATIENCE)
    me.done()
    assert me.ask("And now?") == "Echo: And now?"
