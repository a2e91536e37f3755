"""The Compare tab in Chromium: two checkpoints side by side, reloaded, cancelled, on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.ui.hands import PATIENCE, Hands, until
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ANSWERS = {
    "demo-fp16": "The sky is blue today.",
    "demo-gptq-int4": "The sky is red. <img src=x onerror=alert(1)>" + "w" * 60,
}


@pytest.fixture(autouse=True)
def ended(site: Site) -> Iterator[None]:
    yield
    until(lambda: site.services.comparisons.current() is None)


def compare(me: Hands, text: str) -> None:
    me.page.click("[data-tab-link=compare]")
    boxes = me.page.locator("[name=checkpoint]")
    expect(boxes.first).to_be_visible()
    for name in ("demo-gptq-int8", "demo-awq-int4"):
        me.page.uncheck(f"[name=checkpoint][value={name}]")
    me.page.fill("#qw-compare-text", text)
    me.page.press("#qw-compare-text", "Control+Enter")


def test_two_checkpoints_are_compared_and_what_differs_is_marked(me: Hands, site: Site) -> None:
    site.script(answer=lambda spec, request: ANSWERS[spec.name], delay=0.02)
    compare(me, "Which colour?")
    progress = me.page.locator("[data-part=progress]")
    expect(progress).to_contain_text("Embedded demo, 16-bit, 1 of 2")
    expect(me.page.locator("#qw-compare-run")).to_be_disabled()
    # The page may go away meanwhile, and finds it again.
    me.page.goto(f"{site.url}/?tab=compare")
    expect(progress).to_contain_text("Finished", timeout=PATIENCE)
    second = me.page.locator("[data-part=answer-1-0]")
    expect(second.locator("ins.qw-first")).to_contain_text("red")
    expect(second.locator("del").first).to_have_text("blue")
    expect(second).to_contain_text("First difference at token 12")
    expect(second).to_contain_text("<img src=x onerror=alert(1)>")
    assert me.page.locator(".qw-compared img").count() == 0
    me.page.uncheck("[data-compare=marks]")
    expect(second.locator("del").first).to_be_hidden()
    me.page.reload()
    expect(second).to_contain_text("First difference", timeout=PATIENCE)
    expect(me.page.locator("[data-compare=marks]")).not_to_be_checked()
    me.page.check("[data-compare=marks]")
    with me.page.expect_download() as download:
        me.page.click("[data-part=tools] a:has-text('Markdown')")
    assert "Which colour?" in download.value.path().read_text(encoding="utf-8")
    me.page.set_viewport_size({"width": 390, "height": 844})
    # Side by side no more, and nothing beyond the edge.
    me.page.wait_for_function(
        "[...document.querySelectorAll('#qw-compare *')].every("
        "e => e.getBoundingClientRect().right <= innerWidth + 1)"
    )
    me.page.set_viewport_size({"width": 1280, "height": 800})
    me.page.locator("[data-delete-comparison]").first.click()
    me.page.click("#qw-dialog .qw-danger")
    expect(me.page.locator("#qw-comparisons li")).to_have_count(0)
    expect(me.page.locator(".qw-compared")).to_have_count(0)


def test_a_comparison_is_cancelled_and_the_model_comes_back(me: Hands, site: Site) -> None:
    site.script(answer=lambda spec, request: "Slowly now. " * 20, delay=0.05)
    compare(me, "Take your time")
    expect(me.page.locator("[data-part=answer-0-0]")).to_contain_text("Slowly", timeout=PATIENCE)
    expect(me.page.locator(".qw-held")).to_be_visible(timeout=PATIENCE)
    me.page.click("[data-do=compare-cancel]")
    progress = me.page.locator("[data-part=progress]")
    expect(progress).to_contain_text("Cancelled", timeout=PATIENCE)
    expect(me.page.locator("[data-part=answer-0-0]")).to_contain_text("Slowly")
    expect(me.page.locator("#qw-compare-run")).to_be_enabled(timeout=PATIENCE)
    expect(me.page.locator(".qw-held")).to_be_hidden(timeout=PATIENCE)
    assert site.services.manager.status().name == "demo-fp16"


def test_an_example_set_fills_the_box_and_too_few_boxes_are_said(me: Hands) -> None:
    me.page.click("[data-tab-link=compare]")
    me.page.click("[data-set='compare.prompts_mathematics']")
    assert me.page.input_value("#qw-compare-text").count("\n---\n") == 2
    expect(me.page.locator("[name=checkpoint]:checked")).to_have_count(4)
    for name in ("fp16", "gptq-int8", "gptq-int4", "awq-int4"):
        me.page.press(f"[name=checkpoint][value=demo-{name}]", "Space")
    expect(me.page.locator("[data-compare=count]")).to_have_text("0 chosen; choose 2 to 4")
    expect(me.page.locator("#qw-compare-run")).to_be_disabled()
