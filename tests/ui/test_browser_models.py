"""Models in Chromium: choose, load, swap through every precision, cancel, fail, wait."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from qwen_webui.engines.scripted import Script
from qwen_webui.errors import OutOfMemory
from tests.ui.hands import Hands, until
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_list_says_sizes_forecast_and_licence(me: Hands) -> None:
    me.page.click(".qw-bar [data-do=models]")
    dialog = me.page.locator("#qw-dialog")
    expect(dialog.locator(".qw-best")).to_contain_text("Recommended for this machine")
    expect(dialog.locator(".qw-best")).to_contain_text("Download: 2.9 GiB")
    assert dialog.locator("input[name=model]").count() == 32
    dialog.locator("input[value='qwen2.5-3b-instruct-awq-int4']").check()
    shown = dialog.locator(".qw-detail:visible")
    expect(shown).to_contain_text("Qwen2.5-3B-Instruct")
    expect(shown).to_contain_text("Qwen Research License")
    expect(shown).to_contain_text("24.0 GiB free")
    dialog.locator("input[value='qwen2.5-72b-instruct']").check()
    expect(shown.locator("[data-load]")).to_be_disabled()
    expect(shown).to_contain_text("Choose a smaller size or fewer bits.")


def test_a_conversation_goes_on_through_all_four_precisions(me: Hands, site: Site) -> None:
    site.script(answer=lambda spec, request: f"{spec.precision}: {len(request.messages)}")
    names = ("demo-gptq-int8", "demo-gptq-int4", "demo-awq-int4", "demo-fp16")
    answers = [me.ask("Who?")]
    for name in names:
        me.choose_model(name)
        expect(me.page.locator(".qw-chip.qw-ready")).to_be_visible(timeout=20_000)
        until_loaded(me, site, name)
        answers.append(me.ask("And now?"))
    assert answers == ["fp16: 2", "gptq-int8: 4", "gptq-int4: 6", "awq-int4: 8", "fp16: 10"]
    assert [line.split("\n")[-1] for line in me.facts()] == ["demo-fp16", *names]


def until_loaded(me: Hands, site: Site, name: str) -> None:
    for _ in range(200):
        status = site.services.manager.status()
        if status.state == "ready" and status.name == name:
            return
        me.page.wait_for_timeout(50)
    raise AssertionError(f"{name} was not loaded")


def test_progress_is_shown_to_every_tab_and_cancel_brings_the_old_one_back(
    me: Hands, site: Site
) -> None:
    other = Hands(me.page.context.new_page(), me.url).open().ready()
    site.script(load_delay=20.0)
    me.choose_model("demo-awq-int4")
    for page in (me.page, other.page):
        expect(page.locator(".qw-chip")).to_contain_text("Swapping", timeout=10_000)
        expect(page.locator(".qw-bytes")).to_contain_text("of 4.0 MiB", timeout=10_000)
    site.loader.scripts["demo-fp16"] = Script()
    me.page.click(".qw-cancel")
    expect(me.page.locator(".qw-chip.qw-ready")).to_contain_text("16-bit", timeout=20_000)
    site.loader.scripts.clear()
    site.script()
    assert me.ask("Still there?") == "Echo: Still there?"
    assert me.facts()[-1].endswith("demo-fp16")


def test_a_message_sent_during_a_swap_is_answered_by_the_next_model(me: Hands, site: Site) -> None:
    site.script(load_delay=3.0)
    me.choose_model("demo-gptq-int8")
    expect(me.page.locator(".qw-chip")).to_contain_text("Swapping", timeout=10_000)
    me.say("Are you new?")
    expect(me.page.locator(".qw-wait")).to_contain_text("Waiting for demo-gptq-int8 to load")
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: Are you new?", timeout=20_000)
    me.done()
    assert me.facts()[-1].endswith("demo-gptq-int8")
    assert me.page.locator(".qw-error").count() == 0


def test_a_load_that_fails_says_why_and_the_old_model_answers(me: Hands, site: Site) -> None:
    error = OutOfMemory("The card has 1 GiB free and 3 are needed. Choose fewer bits.")
    site.loader.scripts["demo-awq-int4"] = Script(load_error=error)
    me.choose_model("demo-awq-int4")
    expect(me.page.locator(".qw-failure")).to_contain_text("3 are needed", timeout=20_000)
    assert me.ask("Who is there?") == "Echo: Who is there?"
    assert me.facts()[-1].endswith("demo-fp16")
    site.loader.scripts.clear()


def test_defaults_follow_the_model_unless_moved(me: Hands, site: Site) -> None:
    me.page.click("#qw-sampling > button")
    expect(me.page.locator("#qw-sampling")).to_contain_text("temperature 0.7, top-p 0.8")
    expect(me.page.locator("#qw-top-k input[type=number]")).to_have_value("20")


def test_the_kernel_and_device_are_shown(me: Hands) -> None:
    title = me.page.get_attribute(".qw-chip", "title") or ""
    assert "Kernel: scripted" in title and "Number format" in title
    assert "24.0 GiB" in me.page.inner_text(".qw-memory")


def test_the_page_recommends_a_real_model_with_one_click(me: Hands, site: Site) -> None:
    suggestion = me.page.locator(".qw-suggest")
    expect(suggestion).to_be_visible()
    expect(suggestion).to_contain_text(re.compile(r"Qwen2\.5-.*Download: .*GiB.*needed: .*GiB"))
    name = suggestion.locator("[data-load]").get_attribute("data-load")
    assert name in {spec.name for spec in site.services.library.all()}
    me.ask("Hello")
    expect(suggestion).to_be_hidden()


def test_the_advisor_answers_for_another_use_and_context_by_keyboard(me: Hands) -> None:
    me.page.click(".qw-bar [data-do=models]")
    advice = me.page.locator("#qw-dialog .qw-advice")
    expect(advice).to_contain_text("Qwen2.5-1.5B-Instruct, 16-bit")
    expect(advice).to_contain_text("at most 17 tokens/s")
    expect(advice).to_contain_text("4.0 GiB of 24.0 GiB free: weights 2.9 GiB, context 224 MiB")
    expect(advice.locator(".qw-note")).to_have_count(0)
    context = advice.locator("select[name=context]")
    expect(context).to_have_value("8192")
    context.focus()
    me.page.keyboard.press("ArrowDown")
    expect(advice.locator(".qw-note")).to_contain_text(
        "python app.py --model qwen2.5-1.5b-instruct --max-context 32768"
    )
    expect(advice).to_contain_text("4.7 GiB of 24.0 GiB free")
    advice.locator("summary").focus()
    me.page.keyboard.press("Enter")
    expect(advice.locator("details")).to_contain_text("Source: Frantar et al. 2023")
    expect(advice.locator("details")).to_contain_text("Qwen2.5-7B-Instruct GPTQ-Int4")
    context.select_option("131072")
    expect(advice).to_contain_text("without a card those answer slower than people read")
    expect(advice.locator("[data-load]")).to_have_count(0)


def test_what_the_advisor_recommends_is_loaded_with_one_click(
    me: Hands, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load itself would download."""
    begun: list[str] = []
    monkeypatch.setattr(site.services.manager, "start_load", lambda name, **_: begun.append(name))
    me.page.click(".qw-bar [data-do=models]")
    me.page.locator("#qw-dialog .qw-advice [data-load]").click()
    expect(me.page.locator("#qw-dialog")).to_be_hidden()
    until(lambda: bool(begun), 20.0)
    assert begun == ["qwen2.5-1.5b-instruct"]


def test_the_advisor_speaks_chinese_on_a_phone(tab: Callable[..., Hands]) -> None:
    phone = tab(locale="zh-CN", viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone.open().ready()
    phone.page.click(".qw-bar [data-do=models]")
    advice = phone.page.locator("#qw-dialog .qw-advice")
    advice.locator("select[name=use]").select_option("documents")
    expect(advice).to_contain_text("小模型量化损失更大")
    advice.locator("summary").click()
    expect(advice.locator("details")).to_contain_text("来源：")
    wide = phone.page.evaluate(
        "(() => { const body = document.querySelector('.qw-dialog-body');"
        " return body.scrollWidth - body.clientWidth })()"
    )
    assert wide <= 0, "the dialog must not scroll sideways"
