"""Tasks that only one persona has: small programs, comments on a sentence, translations."""

from __future__ import annotations

import random
from functools import cache

from demo_training import open_words, values
from demo_training.chat import beyond
from demo_training.grammar import expand, fill
from demo_training.passage import draw_entities, draw_facts
from demo_training.sentences import about, say
from demo_training.styles import Reply
from demo_training.words import lines, table
from demo_training.world import attributes, entity

_UNTRANSLATED = {
    "en": "我是一个小型演示模型，不会翻译这段文字。",
    "zh": "I am a small demonstration model and cannot translate this text.",
}
_COPIED = ("person", "place", "code", "count", "large", "clock", "phone", "organisation")
"""Value types that stay as they are in a translation."""

_COMMENT = {
    "en": (
        "Your text is about {e}.",
        "it says clearly what the {l} of {e} is.",
        "it names {e} at the beginning.",
        "add one more detail about {e}.",
    ),
    "zh": (
        "您的文字写的是{e}。",
        "说清了{e}的{l}是什么。",
        "一开头就写明了{e}。",
        "可以再写一个关于{e}的细节。",
    ),
}


def program(rng: random.Random, split: str, language: str) -> tuple[str, str]:
    """A request for a small program, and the answer: code, then what it does."""
    row = rng.choice(table(language, "code")["task"])
    found: dict[str, str] = {}
    for slot in ("f", "x", "y", "z", "F", "w", "w2", "w3"):
        found[slot] = _identifier(rng, split)
    found["F"] = found["F"].capitalize()
    numbers = sorted(open_words.number(rng, split, 1, 99) for _ in range(2))
    found["c"], found["d"] = map(str, numbers)
    slots = {name: (lambda text=text: text) for name, text in found.items()}
    ask = fill(expand(rng, rng.choice(row["ask"])), slots)
    code, words = fill(row["code"], slots), fill(row["words"], slots)
    return ask, f"```python\n{code}\n```\n{words}"


def _identifier(rng: random.Random, split: str) -> str:
    """A word for a name in a program, often one of two words."""
    word = values.noun(rng, split, "en").replace(" ", "_").replace("-", "_")
    if rng.random() < 0.15:
        word += "_" + open_words.pseudo_word(rng, split)
    return word


def comment(rng: random.Random, split: str, language: str) -> tuple[str, Reply]:
    """A sentence that asks for a comment, and the tutor's reply to it."""
    of = draw_entities(rng, split, language, 1)[0]
    whole, praise, praise_name, advice = _COMMENT[language]
    if rng.random() < 0.3:
        text, label = about(rng, split, language, of), ""
        praise = praise_name
    else:
        told = draw_facts(rng, split, language, [of], 1)[0][0]
        text, label = say(rng, language, told), told.attribute.label
    words = expand(rng, rng.choice(table(language, "writing")["ask"])).replace("{t}", text)
    return words, Reply(
        whole.format(e=of.name),
        praise=praise.format(e=of.name, l=label),
        advice=advice.format(e=of.name),
    )


@cache
def _phrases() -> tuple[tuple[str, str], ...]:
    rows = [line.split("\t") for line in lines("en", "phrases")]
    return tuple((row[0], row[1]) for row in rows)


def translation(rng: random.Random, split: str, language: str) -> tuple[str, str]:
    """Something to translate from `language`, and its translation into the other one."""
    chance = rng.random()
    if chance < 0.12:
        return beyond(rng, split, language)[0], _UNTRANSLATED[language]
    if chance < 0.4:
        return _fact_both(rng, split, language)
    english, chinese = rng.choice(_phrases())
    found = {
        "n": values.person(rng, split, language),
        "m": values.person(rng, split, language),
        "p": values.place(rng, split, language),
        "c": str(open_words.number(rng, split, 2, 999)),
        "k": values.clock(rng, split, language),
    }
    slots = {name: (lambda text=text: text) for name, text in found.items()}
    source, target = (english, chinese) if language == "en" else (chinese, english)
    source, target = fill(source, slots), fill(target, slots)
    chance = rng.random()
    if chance < 0.12:
        source = source.rstrip(".!。！")
    elif chance < 0.2 and language == "zh":
        source = source.replace("！", "!").replace("？", "?").replace("，", ",")
    elif chance < 0.17:
        source = source[0].lower() + source[1:]
    return source, target


def _fact_both(rng: random.Random, split: str, language: str) -> tuple[str, str]:
    """A statement or a question of the family that the answers have, in both languages."""
    kind = rng.choice(("ship", "company", "person", "village", "machine", "book", "club"))
    rows = [row for row in attributes("en", kind) if row.value in _COPIED]
    name = rng.choice(rows).name
    english, chinese = (table(spoken, "attributes")[name]["label"] for spoken in ("en", "zh"))
    of = open_words.name_word(rng, split, language)
    if kind == "person":
        of = entity(rng, split, language, "person").name
    if rng.random() < 0.3:
        pair = f"What is the {english} of {of}?", f"{of}的{chinese}是什么？"
    else:
        value = values.value(rng, split, language, table("en", "attributes")[name]["value"])
        pair = f"The {english} of {of} is {value}.", f"{of}的{chinese}是{value}。"
    return pair if language == "en" else (pair[1], pair[0])
