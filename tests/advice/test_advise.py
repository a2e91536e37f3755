"""The advice for real cards: hand-checked by the memory rule, and what must hold for any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qwen_webui.advice import Advice, Machine, advise, command_line, imagined
from qwen_webui.cards import Card
from qwen_webui.checkpoints import catalogue
from qwen_webui.errors import InvalidRequest
from qwen_webui.types import USES, Precision, Use

GIB = 2**30
SPECS = catalogue(Path("/nowhere"))
CONTEXTS = (2_048, 8_192, 32_768, 131_072)
# GiB of 7B's files.
WEIGHTS: dict[Precision, float] = {
    "fp16": 14.19,
    "gptq-int8": 8.25,
    "gptq-int4": 5.19,
    "awq-int4": 5.19,
}


def chosen(advice: Advice) -> str:
    if advice.choice is None:
        return "nothing"
    return f"{advice.choice.spec.size} {advice.choice.spec.precision}"


def ask(memory: float, cards: int, use: Use, context: int) -> Advice:
    return advise(SPECS, imagined(memory, cards), use, context)


FOUR = {use: "awq-int4" for use in USES} | {"chat": "gptq-int4"}
# Of a card of N GiB 95 % are free: 7.6, 11.4, 15.2, 22.8 GiB. GiB needed by the rule, Int4 with
# 2,048 / 8,192 / 32,768 / 131,072 tokens: 7B 7.2, 7.5, 8.9, 14.3; 14B 11.5, 12.7, 17.2, 35.6;
# 32B 20.8, 22.3, 28.4, 52.8; in Int8 7B 10.2, 10.6, 11.9, 17.4; 14B 17.7, 18.9, 23.4, 41.8.
# Larger ones than 7B must leave 5 % of that.
CHAT = {
    8: ("7B", "7B", "1.5B", "nothing"),
    12: ("7B", "7B", "7B", "nothing"),
    16: ("14B", "14B", "7B", "7B"),
    24: ("32B", "14B", "14B", "7B"),
}
DOCUMENTS = {
    8: ("7B gptq-int4", "7B gptq-int4", "1.5B fp16", "nothing"),
    12: ("7B gptq-int8", "7B gptq-int8", "7B gptq-int4", "nothing"),
    16: ("7B gptq-int8", "7B gptq-int8", "7B gptq-int8", "7B gptq-int4"),
    24: ("14B gptq-int8", "14B gptq-int8", "7B gptq-int8", "7B gptq-int8"),
}


@pytest.mark.parametrize("cards", [1, 2])
@pytest.mark.parametrize("card", [8, 12, 16, 24])
@pytest.mark.parametrize("use", USES)
def test_cards_by_hand(card: int, cards: int, use: Use) -> None:
    """Two cards are advised as one: the program uses one."""
    found = tuple(chosen(ask(card, cards, use, context)) for context in CONTEXTS)
    if use == "documents":
        assert found == DOCUMENTS[card]
        return
    small = {"1.5B": "1.5B fp16", "nothing": "nothing"}
    assert found == tuple(small.get(size, f"{size} {FOUR[use]}") for size in CHAT[card])


@pytest.mark.parametrize("use", USES)
def test_no_card_with_16_gib(use: Use) -> None:
    found = tuple(chosen(ask(16, 0, use, context)) for context in CONTEXTS)
    assert found == ("1.5B fp16", "1.5B fp16", "1.5B fp16", "nothing")
    last = ask(16, 0, use, 131_072)
    assert last.missing is not None and "without a card" in last.missing.en


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("precision", WEIGHTS)
def test_the_forecast_is_the_measured_rule(precision: Precision, context: int) -> None:
    """56 KiB of cache a token; 1.32 GiB are the process's, 0.25 a piece's of a prompt, 0.07 those
    of logits and what they are drawn by, 0.25 those of weights spread out."""
    spec = next(s for s in SPECS if (s.size, s.precision) == ("7B", precision))
    advice = advise([spec], imagined(200, 1), "chat", context)
    assert advice.choice is not None
    by_hand = WEIGHTS[precision] + context * 56 / 2**20 + 1.32 + 0.25 + 0.07
    by_hand += 0.0 if precision == "fp16" else 0.25
    assert abs(advice.choice.forecast.needed / GIB - by_hand) < 0.03


@pytest.mark.parametrize("cards", [0, 1])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("context", (256, 8_192, 32_769, 131_072))
def test_more_memory_is_never_worse_and_what_is_advised_fits(
    use: Use, context: int, cards: int
) -> None:
    sizes = ("nothing", "0.5B", "1.5B", "7B", "14B", "32B")
    bits = {"awq-int4": 4, "gptq-int4": 4, "gptq-int8": 8, "fp16": 16}
    before = (0, 0)
    for memory in range(1, 161):
        advice = ask(memory, cards, use, context)
        assert (advice.choice is None) == (advice.missing is not None)
        size = advice.choice.spec.size if advice.choice else "nothing"
        faithful = 0
        if advice.choice is not None:
            spec, need = advice.choice.spec, advice.choice.forecast
            assert need.needed <= need.free <= memory * GIB
            assert need.context == context and advice.choice.spare >= 0
            assert spec.licence == "Apache-2.0" and spec.family == "qwen2.5"
            assert context <= 32_768 or size in ("7B", "14B", "32B")
            # Only of documents and of small models more bits are better by rule.
            graded = use == "documents" or size in ("0.5B", "1.5B")
            faithful = bits[spec.precision] if graded and bits[spec.precision] < 8 else 16
        now = (sizes.index(size), faithful)
        assert now[0] >= before[0] and (now >= before), (memory, before, now)
        before = now
    assert before[0] > 0 or (cards == 0 and context > 32_768)


def test_every_sentence_is_there_in_both_languages() -> None:
    for use in USES:
        for memory, cards, context in (
            (8, 1, 8_192),
            (24, 2, 8_192),
            (80, 1, 40_000),
            (16, 0, 300),
        ):
            advice = ask(memory, cards, use, context)
            said = [*advice.reasons, *advice.warnings]
            texts = [one.text for one in said] + [one.text for one in advice.runners_up]
            assert len(advice.reasons) >= 2 and advice.runners_up
            assert all(text.en.endswith(".") and text.zh.endswith("。") for text in texts)
            assert all(one.sources for one in advice.reasons)


def notes(advice: Advice) -> str:
    return " ".join(one.text.en for one in advice.warnings)


def test_warnings_say_what_they_should_and_only_then() -> None:
    assert "YaRN" in notes(ask(80, 1, "chat", 32_769))
    assert "YaRN" not in notes(ask(80, 1, "chat", 32_768))
    assert "0.0425" in notes(ask(8, 1, "code", 8_192))
    assert "0.0425" not in notes(ask(8, 1, "chat", 8_192))
    assert "8 bits do not fit" in notes(ask(8, 1, "documents", 8_192))
    assert "8 bits do not fit" not in notes(ask(12, 1, "documents", 8_192))
    assert "72B (Qwen License)" in notes(ask(80, 1, "chat", 8_192))
    assert "3B (Qwen Research License)" in notes(ask(6, 1, "chat", 8_192))
    assert "not been run with 14B" in notes(ask(16, 1, "chat", 8_192))
    assert "not been run" not in notes(ask(8, 1, "chat", 8_192))
    assert "Only 0.1 GiB" in notes(ask(8, 1, "chat", 8_192))
    assert "uses one" in notes(ask(24, 2, "chat", 8_192))
    assert "uses one" not in notes(ask(24, 1, "chat", 8_192))


def test_reasons_give_the_guide_and_the_citations() -> None:
    reasons = {use: ask(12, 1, use, 8_192).reasons for use in USES}
    assert "GPTQ-Int4" in reasons["chat"][1].text.en and "guide" in reasons["chat"][1].text.en
    for use in ("code", "mathematics", "json"):
        assert "advises AWQ-Int4" in reasons[use][1].text.en
    assert "99.4" in reasons["documents"][1].text.en and "89.8" in reasons["documents"][1].text.zh
    assert "0.0006" in reasons["documents"][2].text.en


def test_runners_up_say_what_they_cost() -> None:
    advice = ask(12, 1, "chat", 8_192)
    assert advice.choice is not None
    found = {one.kind: one for one in advice.runners_up}
    assert list(found) == ["larger", "more_faithful", "smaller"]
    larger = found["larger"]
    assert larger.option.spec.size == "14B" and not larger.option.forecast.fits
    missing = (larger.option.forecast.needed - larger.option.forecast.free) / GIB
    assert f"{missing:.1f} GiB too large" in larger.text.en
    # 14B Int4: 11.12 GiB without context and 0.000187 GiB a token, of 11.4 GiB.
    assert "fits with a context of 1,536" in larger.text.en
    assert found["more_faithful"].option.spec.precision == "gptq-int8"
    assert "KL 0.0006" in found["more_faithful"].text.en
    assert found["smaller"].option.spec.size == "1.5B"


def test_what_barely_fits_is_not_praised() -> None:
    larger = ask(24, 1, "chat", 8_192).runners_up[0]
    assert larger.option.spec.size == "32B" and larger.option.forecast.fits
    assert "would leave only" in larger.text.en


def test_where_nothing_fits_it_says_what_is_missing() -> None:
    advice = ask(1, 1, "chat", 8_192)
    assert advice.choice is None and advice.missing is not None
    # 0.5B in Int4 by the rule: 1.96 GiB; 0.95 GiB are free.
    for figure in (
        "0.5B",
        "2.0 GiB",
        "1.0 GiB are free",
        "1.0 GiB are missing",
        "Free some memory",
    ):
        assert figure in advice.missing.en
    assert "还差 1.0 GiB" in advice.missing.zh
    assert command_line(advice) is None
    barely = next(s for s in SPECS if s.name == "qwen2.5-14b-instruct-gptq-int4")
    alone = advise([barely], imagined(13.5, 1), "chat", 8_192)  # 12.8 GiB; 12.65 and 5 % are 13.3
    assert alone.missing is not None and "needs 13.3 GiB" in alone.missing.en
    long = ask(12, 1, "chat", 131_072)
    assert long.missing is not None and "2.7 GiB are missing" in long.missing.en
    assert "80,896 tokens would fit" in long.missing.en


def test_only_what_is_on_hand_is_advised() -> None:
    here = [spec for spec in SPECS if spec.size == "7B" and spec.precision in ("fp16", "gptq-int4")]
    code = advise(here, imagined(24, 1), "code", 8_192)
    assert chosen(code) == "7B gptq-int4"
    assert "best precision for this use" in code.reasons[1].text.en
    assert chosen(advise(here, imagined(24, 1), "documents", 8_192)) == "7B fp16"
    none = advise([], imagined(24, 1), "chat", 8_192)
    assert none.choice is None and none.missing is not None


def test_the_files_own_size_counts() -> None:
    spec = next(s for s in SPECS if s.name == "qwen2.5-7b-instruct-gptq-int4")
    machine = imagined(8, 1)
    assert advise([spec], machine, "chat", 8_192).choice is not None
    larger = replace(spec, weights_bytes=spec.weights_bytes + GIB)
    assert advise([larger], machine, "chat", 8_192).choice is None


def test_a_roomier_card_is_named() -> None:
    cards = (Card("Small", "GPU-1", 8 * GIB, 4 * GIB), Card("Big", "GPU-2", 24 * GIB, 20 * GIB))
    machine = Machine("cuda", "Small", 4 * GIB, 8 * GIB, cards)
    assert "Big has more free, 20.0 GiB" in notes(advise(SPECS, machine))
    assert "CUDA_VISIBLE_DEVICES=GPU-2" in notes(advise(SPECS, machine))
    assert "more free" not in notes(advise(SPECS, replace(machine, cards=cards[::-1])))


@pytest.mark.parametrize("context", [0, 255, 131_073])
def test_a_context_that_nobody_has_is_refused(context: int) -> None:
    with pytest.raises(InvalidRequest, match="256 to 131,072"):
        ask(24, 1, "chat", context)


def test_the_command_starts_what_is_advised() -> None:
    line = command_line(ask(24, 1, "chat", 32_768))
    assert line == "python app.py --model qwen2.5-14b-instruct-gptq-int4 --max-context 32768"
