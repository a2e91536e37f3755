"""The JSON tab in Chromium: examples, editor, runs, files, and everyone who uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.hands import PATIENCE, TEXT, Hands, until
from tests.ui.site import Site
from tests.ui.test_browser_access import PAYLOADS, press_until, serious, sideways

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCHEMA, PROMPT, RUN, STOP = "#qw-json-schema", "#qw-json-prompt", "#qw-json-run", "#qw-json-stop"
STANDING, OUT, PROBLEMS = ".qw-standing", ".qw-out", ".qw-checked"
ANSWER = '{"username": "mira", "email": "mira@marlow.example"}'
LIST = '{"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}}'
# A long schema of nothing: what a long answer needs.
ANYTHING = '{"type": "array", "items": {"type": "string"}}'


@pytest.fixture
def page(tab: Callable[..., Hands], site: Site) -> Iterator[Page]:
    """A visitor in front of the JSON tab, with a model ready."""
    site.script(answer=lambda spec, request: ANSWER)
    yield arrive(tab(permissions=["clipboard-read", "clipboard-write"]))


def arrive(me: Hands, path: str = "/?tab=json") -> Page:
    me.page.goto(me.url + path)
    expect(me.page.locator(".qw-chip-button").first).to_be_visible(timeout=PATIENCE)
    me.ready()
    return me.page


def fill(page: Page, schema: str, prompt: str = "Two of them") -> None:
    page.fill(PROMPT, prompt)
    page.fill(SCHEMA, schema)


def ended(page: Page, state: str) -> str:
    """Wait for the end of a run; what is said of it."""
    expect(page.locator(f"{STANDING}[data-state={state}]")).to_be_visible(timeout=PATIENCE)
    return page.inner_text(STANDING)


def runs(page: Page) -> list[str]:
    return [row.inner_text() for row in page.locator("#qw-runs li a").all()]


def test_the_registration_of_the_guide(page: Page, site: Site) -> None:
    page.click("[data-example=registration]")
    expect(page.locator("[data-example=registration]")).to_have_attribute("aria-pressed", "true")
    assert '"minLength": 3' in page.input_value(SCHEMA)
    expect(page.locator(PROBLEMS)).to_have_text("The schema can be held")
    page.click(RUN)
    said = ended(page, "valid")
    assert "checked against the schema" in said
    assert re.search(r"\d+ tokens.*[\d.]+ s.*tokens/s.*demo-fp16", said, re.S)
    expect(page.locator(".qw-tree")).to_contain_text('"username": "mira"')
    request = site.loader.requests[-1]
    assert request.sampling.constraint is not None
    assert request.sampling.constraint.value == page.input_value(SCHEMA)
    assert request.messages[-1].content == page.input_value(PROMPT)
    page.click("[data-view=raw]")
    assert page.inner_text(OUT) == ANSWER


def test_branches_fold(page: Page, site: Site) -> None:
    site.script(answer=lambda spec, request: '[{"a": "x", "b": 1.50}, {}]')
    fill(page, '{"type": "array"}')
    page.click(RUN)
    ended(page, "valid")
    assert "1.50" in page.inner_text(OUT), "a number keeps its digits"
    page.locator(".qw-branch summary").nth(1).click()
    expect(page.locator(OUT)).to_contain_text("2 fields")
    assert '"a"' not in page.inner_text(OUT)


def test_the_editor_names_what_is_wrong_and_where(page: Page) -> None:
    page.click("[data-example=invoice]")
    schema = page.input_value(SCHEMA).replace('"minItems": 1', '"uniqueItems": true')
    page.fill(SCHEMA, schema)
    problem = page.locator(f"{PROBLEMS}.qw-bad")
    expect(problem).to_contain_text("#/properties/lines/uniqueItems")
    expect(problem).to_contain_text("uniqueItems cannot be held")
    line = schema[: schema.index("uniqueItems")].count("\n") + 1
    expect(page.locator(".qw-gutter .qw-bad")).to_have_text(str(line))
    expect(page.locator(SCHEMA)).to_have_attribute("aria-invalid", "true")
    page.click(f"{PROBLEMS} [data-line]")
    expect(page.locator(SCHEMA)).to_be_focused()
    chosen = "(e => e.value.slice(e.selectionStart, e.selectionEnd))"
    assert "uniqueItems" in page.evaluate(f"{chosen}(document.querySelector('{SCHEMA}'))")
    page.fill(SCHEMA, '{\n  "type": "object",\n}')
    expect(problem).to_contain_text("line 3")
    page.fill(SCHEMA, '{"type": "object"}')
    expect(page.locator(PROBLEMS)).to_have_text("The schema can be held")
    expect(page.locator(".qw-gutter .qw-bad")).to_have_count(0)


def test_typing_in_the_editor(page: Page) -> None:
    page.click(SCHEMA)
    page.keyboard.type('{"a": {')
    page.keyboard.press("Enter")
    page.keyboard.type('"b": 1')
    page.keyboard.press("Enter")
    page.keyboard.type("}}")
    assert page.input_value(SCHEMA) == '{"a": {\n  "b": 1\n  }}'
    page.click("[data-do=json-format]")
    assert page.input_value(SCHEMA) == '{\n  "a": {"b": 1}\n}'
    page.keyboard.press("Control+z")
    assert page.input_value(SCHEMA) == '{"a": {\n  "b": 1\n  }}'
    colours = page.locator(".qw-page pre").inner_text()
    assert colours.strip() == page.input_value(SCHEMA)


def test_a_schema_from_an_example_object(page: Page) -> None:
    page.click("[data-do=json-infer]")
    box = page.locator("#qw-dialog textarea")
    box.fill('{"name": "Mira", ')
    page.click("#qw-dialog .qw-primary")
    expect(page.locator("#qw-dialog .qw-wrong")).to_contain_text("not valid JSON")
    box.fill('{"name": "Mira", "age": 34}')
    page.click("#qw-dialog .qw-primary")
    expect(page.locator(PROBLEMS)).to_have_text("The schema can be held")
    schema = json.loads(page.input_value(SCHEMA))
    assert schema["properties"] == {"name": {"type": "string"}, "age": {"type": "integer"}}
    assert "\n" in page.input_value(SCHEMA)


def test_stop_keeps_what_came(page: Page, site: Site) -> None:
    long = json.dumps(["word"] * 400)
    site.script(answer=lambda spec, request: long, delay=0.02)
    fill(page, ANYTHING)
    page.fill("#qw-json-most", "3500")
    page.click(RUN)
    expect(page.locator(OUT)).to_contain_text('"word"', timeout=PATIENCE)
    page.click(STOP)
    assert until(lambda: site.loader.running == 0) < 2.5
    assert "not complete" in ended(page, "stopped")
    expect(page.locator(RUN)).to_be_visible()
    expect(page.locator("[data-json=file]")).to_be_hidden()
    came = page.locator(OUT).inner_text()
    page.reload()
    assert "not complete" in ended(page, "stopped")
    assert page.locator(OUT).inner_text() == came


def test_a_closed_tab_stops_the_engine(page: Page, site: Site) -> None:
    site.script(prefill=60.0)
    fill(page, ANYTHING)
    page.click(RUN)
    until(lambda: site.loader.running == 1)
    expect(page.locator(STANDING)).to_contain_text("Reading the prompt")
    page.close()
    assert until(lambda: site.loader.running == 0) < 2.5


def test_copy_download_and_code(page: Page, site: Site) -> None:
    rows = '[{"a": "=1+1", "b": "灯"}, {"a": "x", "b": "y"}]'
    site.script(answer=lambda spec, request: rows)
    fill(page, LIST)
    page.click(RUN)
    ended(page, "valid")
    page.click("[data-do=json-copy]")
    expect(page.locator("[data-do=json-copy].qw-done")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied) == json.loads(rows) and "\n" in copied
    for kind, expected in (("file", rows + "\n"), ("csv", "\ufeffa,b\n'=1+1,灯\nx,y\n")):
        with page.expect_download() as download:
            page.click(f"[data-json={kind}]")
        assert Path(download.value.path()).read_text(encoding="utf-8") == expected
    assert download.value.suggested_filename == "Two of them.csv"
    page.click("[data-view=code]")
    expect(page.locator(f"{OUT} section")).to_have_count(2)
    curl, python = (page.locator(f"{OUT} pre").nth(at).inner_text() for at in (0, 1))
    assert f"curl {site.url}/v1/chat/completions" in curl and "Two of them" in curl
    assert f'base_url="{site.url}/v1"' in python
    page.locator(f"{OUT} .qw-copy").last.click()
    until(lambda: page.evaluate("navigator.clipboard.readText()") == python)
    page.fill(PROMPT, "Three of them")
    expect(page.locator(OUT)).to_contain_text("Three of them")


def test_runs_are_found_again_and_deleted(page: Page, site: Site) -> None:
    page.click("[data-example=registration]")
    prompt = page.input_value(PROMPT)
    page.click(RUN)
    ended(page, "valid")
    assert re.search(r"run=[0-9a-f]{32}", page.url)
    site.script(answer=lambda spec, request: '["second"]')
    fill(page, ANYTHING, "The second one")
    page.click(RUN)
    expect(page.locator("#qw-runs li")).to_have_count(2, timeout=PATIENCE)
    assert runs(page)[0] == "The second one"
    page.locator("#qw-runs li a").nth(1).click()
    expect(page.locator(PROMPT)).to_have_value(prompt)
    expect(page.locator(".qw-tree")).to_contain_text("mira")
    page.go_back()
    expect(page.locator(PROMPT)).to_have_value("The second one")
    page.reload()
    expect(page.locator(".qw-tree")).to_contain_text("second", timeout=PATIENCE)
    page.locator("#qw-runs li").first.hover()
    page.locator("#qw-runs [data-delete-run]").first.click()
    page.click("#qw-dialog .qw-danger")
    expect(page.locator("#qw-runs li")).to_have_count(1)
    assert "second" not in page.inner_text(OUT) and "run=" not in page.url
    page.click("[data-do=json-new]")
    assert page.input_value(PROMPT) == page.input_value(SCHEMA) == ""


def test_anothers_run_is_not_shown(page: Page, tab: Callable[..., Hands]) -> None:
    page.click("[data-example=registration]")
    page.click(RUN)
    ended(page, "valid")
    other = arrive(tab(), page.url[page.url.index("/?") :])
    assert "not here any more" in ended(other, "failed")
    assert "mira" not in other.inner_text("body") and runs(other) == []


def test_errors_lose_nothing(page: Page, site: Site) -> None:
    fill(page, '{"not": {}}', "Keep me")
    page.click(RUN)
    said = ended(page, "failed")
    assert "cannot be held" in said and "`not`" in said
    page.click("[data-example=registration]")
    page.fill("#qw-json-most", "3")
    page.click(RUN)
    expect(page.locator(STANDING)).to_contain_text("too short for this schema", timeout=PATIENCE)
    page.fill("#qw-json-most", "0")
    page.click(RUN)
    expect(page.locator(STANDING)).to_contain_text("1 to 8,192")
    page.fill(PROMPT, "")
    page.fill("#qw-json-most", "500")
    page.click(RUN)
    expect(page.locator(STANDING)).to_contain_text("The prompt is empty")
    assert "User registration" in page.input_value(SCHEMA)


def test_both_tabs_live_side_by_side(tab: Callable[..., Hands], site: Site) -> None:
    me = tab().open().ready()
    site.script(words=("word",) * 300, delay=0.02)
    me.say("Go on while I look elsewhere")
    expect(me.page.locator(".bot-row")).to_contain_text("word")
    me.page.click("[data-tab-link=json]")
    expect(me.page.locator(PROMPT)).to_be_visible()
    expect(me.page.locator(TEXT)).to_be_hidden()
    assert "tab=json" in me.page.url and me.conversation()
    me.page.fill(PROMPT, "A draft")
    me.page.keyboard.press("Escape")
    me.page.go_back()
    expect(me.page.locator(TEXT)).to_be_visible()
    assert site.loader.running == 1, "neither Escape there nor the way back ended the answer"
    me.page.click("#qw-stop")
    me.done()
    me.page.reload()
    me.page.click("[data-tab-link=json]")
    expect(me.page.locator(PROMPT)).to_have_value("A draft")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tab: Callable[..., Hands], site: Site, scheme: str) -> None:
    locale = "zh-CN" if scheme == "dark" else "en-GB"
    page = arrive(tab(locale=locale, color_scheme=scheme, reduced_motion="reduce"))
    assert serious(page) == []
    site.script(answer=lambda spec, request: '{"a": [1, "x", null, {}]}')
    fill(page, '{"type": "object"}')
    page.click(RUN)
    ended(page, "valid")
    assert serious(page) == []
    page.fill(SCHEMA, '{"not": {}, "minimum": "x"}')
    expect(page.locator(f"{PROBLEMS}.qw-bad:not(.qw-old)")).to_be_visible()
    page.click("[data-view=code]")
    expect(page.locator(f"{OUT} section")).to_have_count(2)
    page.wait_for_timeout(300)
    assert serious(page) == []
    page.click("[data-do=json-infer]")
    assert serious(page) == []


def test_chinese(tab: Callable[..., Hands], site: Site) -> None:
    site.script(answer=lambda spec, request: ANSWER)
    page = arrive(tab(locale="zh-CN"))
    names = r"Qwen WebUI|Qwen2.5-[\w.]+-Instruct|GiB|MiB|EN|CPU|JSON|SQL|OpenAPI|API"
    assert not re.search(r"[A-Za-z]{2,}", re.sub(names, "", page.inner_text("body")))
    page.click("[data-example=registration]")
    page.click(RUN)
    assert "已按模式校验" in ended(page, "valid")
    page.click("[data-do=language]")
    expect(page.locator(STANDING)).to_contain_text("checked against the schema", timeout=PATIENCE)
    assert "沈青禾" in page.input_value(PROMPT)


def test_a_phone(tab: Callable[..., Hands], site: Site) -> None:
    page = arrive(tab(viewport={"width": 390, "height": 780}, has_touch=True))
    assert sideways(page) == 0
    wide = json.dumps([{"k" * 200: "v" * 400, "x": ["y" * 300]}])
    site.script(answer=lambda spec, request: wide)
    fill(page, '{"type": "array"}', "unbroken" * 60)
    page.click(RUN)
    ended(page, "valid")
    assert sideways(page) == 0
    inner = page.locator("#qw-json").evaluate("e => e.scrollWidth - e.clientWidth")
    assert inner == 0
    page.click("[data-view=code]")
    expect(page.locator(f"{OUT} section")).to_have_count(2)
    assert sideways(page) == 0
    page.click(".qw-top [data-do=side]")
    expect(page.locator("#qw-runs li")).to_be_visible()
    assert serious(page) == []
    page.locator("#qw-runs li a").click()
    expect(page.locator("#qw-runs")).to_be_hidden()


def test_by_keyboard_alone(page: Page, site: Site) -> None:
    press_until(page, "[data-tab-link=chat]")
    page.keyboard.press("Enter")
    expect(page.locator(TEXT)).to_be_visible()
    press_until(page, "[data-tab-link=json]", "Shift+Tab")
    page.keyboard.press("Enter")
    press_until(page, "[data-example=registration]")
    page.keyboard.press("Enter")
    press_until(page, SCHEMA)
    page.keyboard.press("Tab")
    assert not page.locator(SCHEMA).evaluate("e => e === document.activeElement")
    press_until(page, RUN)
    site.script(answer=lambda spec, request: ANSWER, delay=0.05)
    page.keyboard.press("Enter")
    expect(page.locator(STOP)).to_be_focused()
    page.keyboard.press("Escape")
    ended(page, "stopped")
    expect(page.locator(RUN)).to_be_focused()
    site.script(answer=lambda spec, request: ANSWER)
    press_until(page, PROMPT, "Shift+Tab")
    page.keyboard.press("Control+Enter")
    ended(page, "valid")
    press_until(page, "[data-do=json-copy]")
    page.keyboard.press("Enter")
    until(lambda: "mira" in page.evaluate("navigator.clipboard.readText()"))
    press_until(page, ".qw-branch summary")
    page.keyboard.press("Enter")
    expect(page.locator(OUT)).to_contain_text("2 fields")
    press_until(page, "[data-delete-run]", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#qw-dialog .qw-plain")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#qw-runs li")).to_have_count(1)


def test_payloads_stay_words(page: Page, site: Site) -> None:
    """In keys and values, in the title, in the schema and in its problems."""
    answer = json.dumps([{payload: payload} for payload in PAYLOADS], ensure_ascii=False)
    site.script(answer=lambda spec, request: answer)
    schema = json.dumps({"type": "array", "title": PAYLOADS[1], "description": PAYLOADS[0]})
    fill(page, schema, PAYLOADS[1])
    page.fill("#qw-json-most", "3500")
    page.click(RUN)
    ended(page, "valid")
    shown = page.inner_text(OUT)
    assert shown.count("<img src=x onerror=alert(1)>") >= 2
    for view in ("raw", "code", "pretty"):
        page.click(f"[data-view={view}]")
        page.wait_for_timeout(200)
        for tag in ("script", "img", "iframe", "video", "form", "link", "meta", "style", "svg"):
            assert page.locator(f"#qw-json {tag}").count() == 0, tag
            assert page.locator(f"#qw-runs {tag}").count() == 0, tag
    assert runs(page)[0] == PAYLOADS[1]
    page.fill(SCHEMA, json.dumps({"properties": {PAYLOADS[1]: {"type": PAYLOADS[1]}}}))
    expect(page.locator(f"{PROBLEMS}.qw-bad")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator(f"{PROBLEMS} img").count() == 0
    page.locator("#qw-runs [data-delete-run]").first.click()
    expect(page.locator("#qw-dialog p")).to_contain_text("<img src=x")
    page.wait_for_timeout(300)
