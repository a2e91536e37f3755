"""Talking with the page in Chromium: send, stop, edit, answer again, clear, copy, roles."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from qwen_webui.errors import GenerationFailed
from tests.ui.hands import TEXT, Hands, until
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_send_and_the_line_under_the_answer(me: Hands) -> None:
    assert me.ask("Hello there, page") == "Echo: Hello there, page"
    assert me.questions() == ["Hello there, page"]
    assert me.page.input_value(TEXT) == ""
    (line,) = me.facts()
    assert re.search(r"tokens/s.*first token \d\.\d\d s.*\d+ \+ \d+ tokens.*demo-fp16", line, re.S)
    assert re.search(r"\d+ of [\d,]+ tokens", me.page.inner_text(".qw-meter"))


def test_markdown_code_and_latex(me: Hands, site: Site) -> None:
    text = "A **bold** word, \\(a < b\\) and `x <y>`:\n\n```python\nif a < b:\n    pass\n```\n"
    site.script(answer=lambda spec, request: text)
    me.ask("Show me")
    answer = me.page.locator(".bot-row")
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.locator(".katex annotation")).to_have_text("a < b")
    expect(answer.locator("p code")).to_have_text("x <y>")
    assert "if a < b:\n    pass" in answer.locator("pre code").inner_text()


def test_stop_in_the_prefill(me: Hands, site: Site) -> None:
    site.script(prefill=30.0)
    me.say("A long text to read")
    expect(me.page.locator(".qw-wait")).to_contain_text("Reading the prompt")
    assert site.loader.running == 1
    me.page.click("#qw-stop")
    assert until(lambda: site.loader.running == 0) < 2.5
    me.done()
    assert me.questions() == ["A long text to read"]
    assert me.page.locator(".bot-row").count() == 0
    expect(me.page.locator(".user-row .qw-foot")).to_contain_text("Not answered.")


def test_stop_mid_stream_keeps_what_came(me: Hands, site: Site) -> None:
    site.script(words=("word",) * 2000, delay=0.02)
    me.say("Go on for long")
    expect(me.page.locator(".bot-row")).to_contain_text("word word")
    me.page.press(TEXT, "Escape")
    assert until(lambda: site.loader.running == 0) < 2.5
    me.done()
    (answer,) = me.answers()
    assert answer.startswith("word word")
    assert "stopped" in me.facts()[0] and "tokens/s" in me.facts()[0]
    me.page.reload()
    me.open(f"/?c={me.conversation()}")
    expect(me.page.locator(".bot-row")).to_contain_text("stopped")
    assert me.answers() == [answer]


def test_typing_goes_on_while_an_answer_is_written(me: Hands, site: Site) -> None:
    site.script(words=("word",) * 2000, delay=0.02)
    me.say("First")
    expect(me.page.locator(".bot-row")).to_contain_text("word")
    me.say("Second, too early")
    expect(me.page.get_by_text("An answer is still being written")).to_be_visible()
    assert me.page.input_value(TEXT) == "Second, too early"
    me.page.click("#qw-stop")
    me.done()
    assert me.questions() == ["First"]


def test_edit_replaces_the_rest(me: Hands, site: Site) -> None:
    me.ask("One")
    me.ask("Two")
    me.page.locator(".user-row").first.hover()
    me.page.locator(".qw-act-edit").first.click()
    expect(me.page.locator(TEXT)).to_have_value("One")
    expect(me.page.locator(".qw-banner")).to_be_visible()
    me.say("One, but better")
    expect(me.page.locator(".qw-said")).to_have_text(["One, but better"])
    expect(me.page.locator(".bot-row .qw-facts")).to_have_count(1)
    me.done()
    assert me.questions() == ["One, but better"]
    assert me.answers() == ["Echo: One, but better"]
    expect(me.page.locator(".qw-banner")).to_be_hidden()
    assert [m.content for m in site.loader.requests[-1].messages if m.role == "user"] == [
        "One, but better"
    ]


def test_edit_can_be_given_up(me: Hands) -> None:
    me.ask("One")
    me.page.locator(".user-row").first.hover()
    me.page.locator(".qw-act-edit").click()
    expect(me.page.locator(TEXT)).to_have_value("One")
    me.page.click("[data-do=edit-cancel]")
    assert me.ask("Two") == "Echo: Two"
    assert me.questions() == ["One", "Two"]


def test_regenerate(me: Hands, site: Site) -> None:
    me.ask("Again and again")
    site.script(words=("Something", "else"))
    me.page.click(".qw-act-regenerate")
    expect(me.page.locator(".bot-row")).to_contain_text("Something else")
    me.done()
    assert me.answers() == ["Something else"]
    assert me.questions() == ["Again and again"]


def test_clear_asks_first(me: Hands) -> None:
    me.ask("To be forgotten")
    me.page.click("[data-do=clear]")
    me.page.click("#qw-dialog .qw-plain")
    assert me.questions() == ["To be forgotten"]
    me.page.click("[data-do=clear]")
    me.page.click("#qw-dialog .qw-danger")
    expect(me.page.locator(".qw-welcome")).to_be_visible()
    me.page.reload()
    me.open(f"/?c={me.conversation()}")
    assert me.questions() == []


def test_copy(tab: Callable[..., Hands], site: Site) -> None:
    me = tab(permissions=["clipboard-read", "clipboard-write"]).open().ready()
    text = "**Exactly** this\n\n- with `Markdown`"
    site.script(answer=lambda spec, request: text)
    me.ask("Copy me")
    me.page.click(".bot-row .qw-act-copy")
    expect(me.page.locator(".bot-row .qw-act-copy.qw-done")).to_be_visible()
    assert me.page.evaluate("navigator.clipboard.readText()") == text


def test_roles_show_their_message_and_cost(me: Hands, site: Site) -> None:
    translator = site.services.personas.get("translator")
    before = me.page.inner_text(".qw-cost")
    me.page.click("#qw-role input")
    me.page.get_by_role("option", name=translator.name["en"]).click()
    expect(me.page.locator("#qw-system textarea")).to_have_value(translator.system["en"])
    expect(me.page.locator(".qw-cost")).not_to_have_text(before)
    expect(me.page.locator(".qw-meter .qw-role")).to_have_text(translator.name["en"])
    me.ask("Good morning")
    system = site.loader.requests[-1].messages[0]
    assert (system.role, system.content) == ("system", translator.system["en"])


def test_a_message_of_ones_own_is_used_and_found_again(me: Hands, site: Site) -> None:
    me.page.fill("#qw-system textarea", "You answer like a pirate.")
    expect(me.page.locator("#qw-role input")).to_have_value("Custom")
    me.ask("Ahoy")
    assert site.loader.requests[-1].messages[0].content == "You answer like a pirate."
    me.page.reload()
    me.open(f"/?c={me.conversation()}")
    expect(me.page.locator("#qw-system textarea")).to_have_value("You answer like a pirate.")
    expect(me.page.locator("#qw-role input")).to_have_value("Custom")


def test_examples_are_sent(me: Hands, site: Site) -> None:
    example = site.services.personas.all()[0].examples["en"][0]
    me.page.locator(".qw-example").first.click()
    expect(me.page.locator(".bot-row .qw-facts")).to_be_visible()
    assert me.questions() == [example]


def test_sampling_that_was_moved_is_sent(me: Hands, site: Site) -> None:
    me.page.click("#qw-sampling > button")
    number = me.page.locator("#qw-temperature input[type=number]")
    expect(number).to_have_value("0.7")
    me.ask("With defaults")
    assert site.loader.requests[-1].sampling.temperature == 0.7
    number.fill("0.25")
    number.press("Tab")
    me.page.fill("#qw-seed input, #qw-seed textarea", "42")
    me.ask("With less")
    sampling = site.loader.requests[-1].sampling
    assert (sampling.temperature, sampling.seed, sampling.top_k) == (0.25, 42, 20)
    me.page.click("#qw-reset")
    expect(number).to_have_value("0.7")


def test_an_error_loses_nothing(me: Hands, site: Site) -> None:
    failure = GenerationFailed("The kernel gave up. Send the request again.")
    site.script(words=("some", "words", "came"), fail_at=12, error=failure)
    me.say("Fail, please")
    notice = me.page.locator(".qw-error")
    expect(notice).to_contain_text("The kernel gave up")
    me.done()
    assert me.questions() == ["Fail, please"]
    assert "some words c" in me.page.locator(".bot-row").inner_text()
    site.script()
    notice.get_by_role("button", name="Try again").click()
    expect(me.page.locator(".bot-row")).to_contain_text("Echo: Fail, please")
    assert me.questions() == ["Fail, please"]


def test_what_does_not_fit_is_said(me: Hands, site: Site) -> None:
    for _ in range(5):
        me.ask("long " * 180)
    expect(me.page.locator(".qw-note:visible")).to_contain_text("no longer fit")
    expect(me.page.locator(".qw-left")).to_contain_text("left out")
    assert me.page.locator(".bot-row").count() == 5


def test_a_text_over_the_context_is_refused_with_both_numbers(me: Hands) -> None:
    me.say("x" * 6000)
    notice = me.page.locator(".toast-body")
    expect(notice).to_contain_text(re.compile(r"6,?\d\d\d.*4,?096", re.S))
    # Neither said nor stored nor lost.
    assert me.questions() == [] and me.listed() == []
    expect(me.page.locator(TEXT)).to_have_value("x" * 6000)


def test_updates_are_few_and_the_end_is_prompt(me: Hands, site: Site) -> None:
    me.page.evaluate(
        """() => { window.updates = 0; new MutationObserver(() => window.updates++)
        .observe(document.querySelector("#qw-chat [role=log]"),
        { childList: true, subtree: true, characterData: true }); }"""
    )
    # A token a letter: 400 tokens at 100 a second.
    site.script(words=("word",) * 80, delay=0.01)
    me.say("As fast as you can")
    until(lambda: site.loader.running == 1)
    seconds = until(lambda: site.loader.running == 0, 30)
    lag = until(lambda: me.page.locator(".bot-row .qw-facts").count() == 1)
    assert lag < 3.0
    assert me.page.evaluate("window.updates") <= 16 * (seconds + lag) + 20


def test_the_first_token_is_shown_at_once(me: Hands, site: Site) -> None:
    """reliability line 5: 0.15 s after the engine's; held with fivefold slack, sending included."""
    site.script(words=("Quokka", "and", "more"), delay=0.05)
    me.page.evaluate(
        """() => new MutationObserver((_, observer) => {
            if (!document.querySelector('#qw-main').textContent.includes('Quokka')) return;
            window.shown = performance.now();
            observer.disconnect();
        }).observe(document.body, {subtree: true, childList: true, characterData: true})"""
    )
    me.page.fill("#qw-text textarea", "Which animal?")
    sent = me.page.evaluate("performance.now()")
    me.page.press("#qw-text textarea", "Enter")
    expect(me.page.locator("#qw-main")).to_contain_text("Quokka")
    assert me.page.evaluate("window.shown") - sent < 5 * 150
    me.done()
