"""The Compare tab as text: what is said, marked and drawn of a comparison, and what is escaped."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from qwen_webui.comparison.differences import changes
from qwen_webui.comparison.values import Answer, Difference
from qwen_webui.measure.fidelity.report import FidelityRow, Figure
from qwen_webui.types import CheckpointSpec, MemoryForecast, ModelStatus, Queued
from qwen_webui.ui.compare_chart import chart_html
from qwen_webui.ui.compare_choice import choice_html, first_chosen
from qwen_webui.ui.compare_frame import compare_main, compare_side
from qwen_webui.ui.compare_view import kept_list, result_of, version_of
from qwen_webui.ui.compare_words import progress_words
from qwen_webui.ui.messages import wait_text
from qwen_webui.ui.model_row import View
from qwen_webui.ui.texts import AllTexts
from tests.ui.compare_values import ID, answer, column, finished, prompt

EN, ZH = AllTexts()["en"], AllTexts()["zh"]
HOSTILE = "<img src=x onerror=alert(1)>" + "x" * 5_000


class Tags(HTMLParser):
    """Every element's name, and whether each was closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in ("input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole(*args: Any, **more: Any) -> str:
    shown = result_of(finished(*args, **more), {}, changes, EN)
    named = re.findall(r'data-part="([^"]+)"', shown.frame)
    assert sorted(named) == sorted(shown.parts)
    html = shown.frame + "".join(shown.parts.values())
    assert Tags(html).open == []
    return html


def test_answers_stand_side_by_side_with_the_differences_marked_and_named() -> None:
    shown = result_of(finished(), {}, changes, EN)
    second = shown.parts["answer-1-0"]
    assert 'The sky is <del class="qw-first">blue</del><ins class="qw-first">red</ins>.' in second
    assert "First difference at token 4: “ red” instead of “ blue”." in second
    assert "<ins>" not in shown.parts["answer-0-0"]
    head = shown.parts["column-1"]
    assert "Embedded demo, GPTQ Int4" in head and "marlin" in head and "40.0" in head
    for figure in ("5.0 MiB", "1.0 MiB", "3.0 MiB", "1.50 s", "0.10 s"):
        assert figure in head, figure
    assert f"compare/kept/{ID}/csv" in shown.parts["tools"]


def test_an_equal_answer_an_ended_one_and_a_cut_one_are_named() -> None:
    equal = column("gptq-int8", answer("Yes.", equal=True))
    ended = column(
        "awq-int4",
        answer("Yes. No.", equal=False, ended="length", difference=Difference(2, 4, "", "\n")),
    )
    html = whole(column("fp16", answer("Yes.")), equal, ended)
    assert "Same as the first column." in html
    assert "at token 3: “⏎” instead of the end." in html
    assert "cut at the longest answer" in html


def test_a_failed_column_shows_its_sentence_and_the_others_stay() -> None:
    failed = column("awq-int4", state="failed", error="The card has <no> room for it.")
    html = whole(column("fp16", answer("Yes.")), replace(failed, tokens_per_second=None))
    assert "The card has &lt;no&gt; room for it." in html and "Yes." in html
    assert ">failed<" in html


def test_no_word_of_a_model_or_a_person_becomes_an_element() -> None:
    different = answer(HOSTILE, equal=False, difference=Difference(0, 0, HOSTILE, HOSTILE))
    hostile = column(
        "fp16", answer(HOSTILE + "y"), title=HOSTILE, kernel=HOSTILE, device_name=HOSTILE
    )
    html = whole(
        hostile,
        column("awq-int4", different, error=HOSTILE),
        wanted=replace(finished().wanted, prompts=(prompt(HOSTILE),)),
        error=HOSTILE,
        previous=HOSTILE,
        id='"><img src=x>',
    )
    html += kept_list(
        [finished(wanted=replace(finished().wanted, prompts=(prompt(HOSTILE),)))],
        "",
        EN,
        dt.datetime.now().astimezone(),
    )
    assert "img" not in Tags(html).seen and "<img" not in html


@pytest.mark.parametrize("t", [EN, ZH], ids=["en", "zh"])
def test_progress_says_what_is_loaded_and_which_prompt_is_answered(t: Any) -> None:
    waiting = column("awq-int4", state="waiting")
    two = replace(finished().wanted, prompts=(prompt("A"), prompt("B")))
    loading = finished(
        column("fp16", answer("1"), answer("2")),
        column("gptq-int4", state="loading"),
        waiting,
        state="running",
        wanted=two,
    )
    said = progress_words(loading, t)
    assert "GPTQ Int4" in said and "2" in said and "3" in said
    answering = replace(
        loading,
        columns=(
            *loading.columns[:1],
            column("gptq-int4", answer("1"), Answer("x"), state="answering"),
            waiting,
        ),
    )
    assert progress_words(answering, t) != said
    if t is EN:
        assert said == "Loading Embedded demo, GPTQ Int4, 2 of 3"
        assert progress_words(answering, t).endswith("2 of 3; prompt 2 of 2")
    assert version_of(loading) != version_of(answering)
    assert 'data-do="compare-cancel"' in result_of(loading, {}, changes, t).parts["share"]
    assert result_of(finished(), {}, changes, t).parts["share"] == ""


def row(precision: str, kl: Figure | None, reference: bool = False) -> FidelityRow:
    return FidelityRow(precision, f"demo-{precision}", reference, kl=kl)


def test_bars_are_a_table_with_lengths_by_the_longest() -> None:
    html = chart_html(finished().columns, {}, EN)
    assert Tags(html).open == [] and "<table" in html and "<caption>" in html
    assert re.findall(r"width:([\d.]+)%", html) == ["50.0", "100.0", "100.0", "42.9"]
    assert "<code>python app.py fidelity</code>" in html and "has not been measured" in html
    rows = {
        "demo-fp16": row("fp16", None, True),
        "demo-gptq-int4": row("gptq-int4", Figure(0.03, 0.02, 0.04, 900)),
    }
    with_kl = chart_html(finished().columns, rows, EN)
    assert "0.0300 (0.0200–0.0400)" in with_kl and ">reference<" in with_kl
    assert "last report" in with_kl
    assert chart_html([column("fp16", tokens_per_second=None, peak_bytes=None)], {}, EN) == ""


def spec(name: str, precision: Any, folder: str | None = "/x", size: str = "7B") -> Any:
    return CheckpointSpec(
        name,
        "Qwen2.5",
        "qwen2.5",
        size,
        precision,
        "Apache-2.0",
        5 << 30,
        None,  # type: ignore[arg-type]
        folder=folder,
    )


def need(free: int = 24 << 30) -> MemoryForecast:
    return MemoryForecast(5 << 30, 1 << 30, 0, 0, 4096, free, free, "cuda")


def test_what_is_here_and_fits_is_chosen_first_and_the_rest_says_what_it_would_cost() -> None:
    rows = [
        (spec("a-int4", "gptq-int4"), need()),
        (spec("a", "fp16"), need(1 << 30)),
        (spec("a-awq", "awq-int4", None), need()),
        (spec("a-int8", "gptq-int8"), need()),
        (spec("b", "fp16", size="72B"), need()),
    ]
    view = View(rows, ModelStatus("ready", "a-int4"), False, EN)
    assert first_chosen(view) == ("a-int8", "a-int4")
    html = choice_html(view)
    assert Tags(html).open == []
    boxes = re.findall(r'value="([^"]+)"( checked)?( disabled)?', html)
    assert boxes == [
        ("a", "", " disabled"),
        ("a-int8", " checked", ""),
        ("a-int4", " checked", ""),
        ("a-awq", "", ""),
        ("b", "", ""),
    ]
    assert "not here: downloads 5.0 GiB" in html and "does not fit" in html
    assert "Other models (1)" in html
    offline = choice_html(replace(view, offline=True))
    assert 'value="a-awq" disabled' in offline


@pytest.mark.parametrize("t", [EN, ZH], ids=["en", "zh"])
def test_the_frame_is_whole_and_has_no_blank_line(t: Any) -> None:
    for html in (compare_main(t), compare_side(t)):
        assert "\n\n" not in html and Tags(html).open == []


def test_the_list_names_the_time_and_the_title_and_spares_what_runs() -> None:
    now = dt.datetime.fromisoformat("2026-03-01T12:00:00+00:00").astimezone()
    html = kept_list([finished(state="running"), finished(id="e" * 32)], ID, EN, now)
    assert html.count("data-delete-comparison") == 1 and "<h2>Today</h2>" in html
    assert 'aria-current="page"' in html and "Which colour?" in html
    assert "The newest 20" in kept_list([], "", EN, now)


def test_who_waits_in_the_chat_is_told_why() -> None:
    assert wait_text(Queued(2, "A job."), EN)[0] == (
        "Waiting in line, place 2: models are being compared"
    )
    assert wait_text(Queued(2), EN)[0] == "Waiting in line, place 2"
    held = ModelStatus("swapping", "a", "b", held_for="A job.")
    assert wait_text(held, ZH)[0] == "正在等待：模型对比进行中"
