"""The generator of training text: seeds, splits, and answers that pass their own checks."""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from demo_training import open_words, systems, values
from demo_training.examples import SKILLS, Example, Language, Split, example, passes
from demo_training.grammar import expand, parse
from demo_training.handwritten import handwritten
from demo_training.styles import PERSONAS
from demo_training.words import table

LANGUAGES: tuple[Language, ...] = ("en", "zh")
SPLITS: tuple[Split, ...] = ("train", "heldout")
ROOT = Path(__file__).resolve().parents[2]


def answer_of(made: Example) -> str:
    """The last turn as the model would write it, a tool call in Hermes form."""
    last = made.messages[-1]
    if "tool_calls" not in last:
        return cast(str, last["content"])
    call = last["tool_calls"][0]["function"]
    body = json.dumps({"name": call["name"], "arguments": call["arguments"]}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def some(skill: str, language: Language, split: Split, many: int = 40) -> Iterator[Example]:
    rng = random.Random(f"{skill} {language} {split}")
    for _ in range(many):
        yield example(rng, split, skill, language)


def test_equal_seeds_give_equal_examples_and_other_seeds_other_ones() -> None:
    first, again, other = (random.Random(seed) for seed in (7, 7, 8))
    made = [example(first, "train") for _ in range(200)]
    assert made == [example(again, "train") for _ in range(200)]
    assert made != [example(other, "train") for _ in range(200)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("skill", SKILLS)
def test_every_answer_passes_its_own_check(skill: str, language: Language) -> None:
    for split in SPLITS:
        for made in some(skill, language, split):
            assert passes(made.check, answer_of(made)), made
            assert made.skill == skill
            assert made.language == language


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("skill", SKILLS)
def test_a_corrupted_answer_does_not_pass(skill: str, language: Language) -> None:
    for made in some(skill, language, "heldout"):
        for wrong in corrupted(made):
            assert not passes(made.check, wrong), (made, wrong)


def corrupted(made: Example) -> Iterator[str]:
    """Answers near the right one that break what the check asks for."""
    right, check = answer_of(made), made.check
    kind = check["kind"]
    yield ""
    if kind == "exact":
        yield right + "x"
        yield right[1:]
    elif kind == "contains":
        for part in check["all"]:
            yield right.replace(part, "")
        for part in check.get("none", ()):
            yield f"{right} {part}"
    elif kind == "json":
        key = next(iter(check["value"]))
        yield json.dumps({**check["value"], key: "other"}, ensure_ascii=False)
        yield right[:-1]
    elif kind == "tool":
        yield right.replace("<tool_call>", "")
        yield right.replace(check["name"], "other")
        yield right.replace('"arguments": {', '"arguments": {"more": 1, ')
    elif kind == "quote":
        yield right.replace(check["sentence"], check["sentence"][1:])
        if check["page"] is not None:
            yield right.replace(f"[p. {check['page']}]", f"[p. {check['page'] + 1}]")
    elif kind == "summary":
        yield right.replace(check["main"], "")
        yield " ".join(check["sentences"])
        yield "Something else." if made.language == "en" else "另一句话。"
    elif kind == "style":
        yield from other_styles(made, right)
    else:
        yield "The captain of the Lorna is Pella."


def other_styles(made: Example, right: str) -> Iterator[str]:
    """The answer in the style of each persona but the right one."""
    plain = "It is red." if made.language == "en" else "它是红色的。"
    quoted = f'{plain}\nSource: "x"', f"{plain}\n出处：“x”"
    by_persona = {
        "general": [plain],
        "code": [f"```python\nx = 1\n```\n{plain}"],
        "writing": [f"{plain}\nStrength: a\nTo improve: b", f"{plain}\n优点：a\n改进：b"],
        "translator": ["它是红色的。" if made.language == "en" else "It is red."],
        "extraction": ['{"a": "b"}'],
        "analyst": list(quoted),
    }
    wanted = made.check["persona"]
    for persona, answers in by_persona.items():
        mixed = {persona, wanted} == {"general", "translator"}
        if persona != wanted and not (mixed and wanted == "general"):
            yield from answers
    if wanted == "code":
        yield right.replace("```", "``")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", values.SOURCES)
def test_values_of_the_splits_are_disjoint(kind: str, language: Language) -> None:
    drawn = {}
    for split in SPLITS:
        rng = random.Random(kind)
        drawn[split] = {values.value(rng, split, language, kind) for _ in range(400)}
    assert not drawn["train"] & drawn["heldout"]
    assert len(drawn["heldout"]) > 2


def test_words_and_numbers_belong_to_one_split() -> None:
    rng = random.Random(1)
    for split in SPLITS:
        for _ in range(300):
            assert open_words.split_of(open_words.pseudo_word(rng, split)) == split
            assert open_words.split_of(open_words.han_word(rng, split)) == split
            assert open_words.split_of(str(open_words.number(rng, split, 2, 999))) == split


def test_heldout_conversations_hold_no_trained_name() -> None:
    trained = {
        word for name in ("first_names", "towns") for word in open_words.pool("en", name, "train")
    } - {"Nice", "Cork"}
    assert trained & _said("train"), "a trained name occurs in training text"
    assert not trained & _said("heldout")


def _said(split: Split) -> set[str]:
    """The words of some conversations of a split."""
    rng = random.Random(3)
    made = [example(rng, split, "span", "en") for _ in range(300)]
    text = " ".join(turn["content"] for one in made for turn in one.messages)
    return set(re.findall(r"\w+", text))


def test_both_languages_tell_of_the_same_attributes_and_kinds() -> None:
    for name in ("attributes", "kinds"):
        english, chinese = table("en", name), table("zh", name)
        assert list(english) == list(chinese)
    for name, row in table("en", "attributes").items():
        same = table("zh", "attributes")[name]
        assert row["kinds"] == same["kinds"], name
        assert row["value"].partition(":")[0] == same["value"].partition(":")[0], name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_with_alternatives_is_well_formed(language: Language) -> None:
    rng = random.Random(2)
    forms = [form for row in table(language, "chat").values() for form in row["user"]]
    forms += [form for row in table(language, "refusal").values() for form in row["user"]]
    forms += table(language, "summary")["ask"] + table(language, "writing")["ask"]
    for form in forms:
        parse(form)
        assert "|" not in expand(rng, form)


def test_personas_own_system_messages_occur_word_for_word() -> None:
    seen = set()
    rng = random.Random(5)
    for _ in range(3000):
        first = example(rng, "train", "persona").messages[0]
        if first["role"] == "system":
            seen.add(first["content"])
    for persona in PERSONAS:
        for language in LANGUAGES:
            assert systems.persona_text(persona, language) in seen, (persona, language)


def test_persona_files_are_complete() -> None:
    files = sorted((ROOT / "personas").glob("*.toml"))
    rows: list[Mapping[str, Any]] = [tomllib.loads(path.read_text("utf-8")) for path in files]
    assert {row["id"] for row in rows} == set(PERSONAS)
    assert sorted(row["order"] for row in rows) == list(range(1, 7))
    for row in rows:
        for part in ("name", "description", "system"):
            assert all(row[part][language] for language in LANGUAGES)
        assert all(3 <= len(row["examples"][language]) <= 4 for language in LANGUAGES)


def test_handwritten_refusals_are_many_and_never_generated() -> None:
    examples = handwritten()
    refusals = [made for made in examples if made.skill == "refusal"]
    assert len({made.messages[0]["content"] for made in refusals}) == 120
    assert {made.language for made in refusals} == set(LANGUAGES)
    for made in examples:
        assert passes(made.check, answer_of(made)), made
    rng = random.Random(9)
    written = {made.messages[0]["content"].lower().strip("?.!？。！") for made in refusals}
    for _ in range(12000):
        drawn = example(rng, "train", "refusal")
        texts = [turn["content"] for turn in drawn.messages if turn["role"] == "user"]
        assert not written & {text.lower().strip("?.!？。！") for text in texts}


def test_a_switch_of_persona_is_learned_from_its_last_turn_only() -> None:
    rng = random.Random(4)
    made = [example(rng, "train", "persona") for _ in range(300)]
    switched = [one for one in made if one.last_only]
    assert 100 < len(switched) < 260
    for one in switched:
        answers = [turn for turn in one.messages if turn["role"] == "assistant"]
        assert len(answers) > 1
