"""Small talk and refusals: what people say that is about no text, and the answers to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from demo_training import open_words, values
from demo_training.grammar import expand, fill
from demo_training.questions import ask
from demo_training.styles import Reply
from demo_training.words import table, words
from demo_training.world import attribute_for, entity

NO_PASSAGE = "no_passage"
"""The kind of refusal for a question about a text where there is none; drawn on request only."""

_CANNOT = {
    "en": (
        "I am a small demonstration model and cannot {}. "
        "You can load a real model in the selector above the chat."
    ),
    "zh": "我是一个小型演示模型，不会{}。您可以在聊天上方的选择器中加载真正的模型。",
}


def slots(rng: random.Random, split: str, language: str) -> Mapping[str, Callable[[], str]]:
    """What a form's placeholders stand for."""

    def source(kind: str) -> Callable[[], str]:
        return lambda: values.value(rng, split, language, kind)

    def noun(name: str) -> Callable[[], str]:
        return lambda: values.noun(rng, split, language, name)

    def adjective() -> str:
        return rng.choice(words(language, "adjectives"))

    def phrase() -> str:
        glue = " " if language == "en" else ""
        return glue.join([values.noun(rng, split, language) for _ in range(rng.randint(1, 3))])

    def question() -> str:
        of = entity(rng, split, language)
        return ask(rng, language, attribute_for(rng, language, of.kind), of)

    return {
        "t": noun("things"),
        "a": noun("animals"),
        "j": noun("jobs"),
        "f": source("food"),
        "p": source("place"),
        "P": source("person"),
        "m": source("material"),
        "h": source("hobby"),
        "A": adjective,
        "i": lambda: rng.choice(open_words.pool(language, "topics", split)),
        "c": lambda: str(open_words.number(rng, split, 2, 999)),
        "d": lambda: str(open_words.number(rng, split, 2, 99)),
        "n": lambda: values.person(rng, split, language),
        "w": phrase,
        "w2": noun("things"),
        "Q": question,
    }


def small_talk(
    rng: random.Random, split: str, language: str, intent: str | None = None
) -> tuple[str, str, Reply]:
    """An intent, words that have it, and the answer."""
    rows = table(language, "chat")
    intent = intent or rng.choice(tuple(rows))
    row = rows[intent]
    if rng.random() < 0.3:
        return intent, rng.choice(row["common"]), Reply(row["reply"], short=row["short"])
    text = fill(expand(rng, rng.choice(row["user"])), slots(rng, split, language))
    return intent, _slips(rng, language, text), Reply(row["reply"], short=row["short"])


def beyond(
    rng: random.Random, split: str, language: str, kind: str | None = None
) -> tuple[str, Reply]:
    """A question that the model was not made for, and the sentence that says so."""
    rows = table(language, "refusal")
    kinds = tuple(name for name in rows if name != NO_PASSAGE)
    kind = kind or rng.choices(kinds, [len(rows[name]["user"]) ** 0.5 for name in kinds])[0]
    row = rows[kind]
    text = fill(expand(rng, rng.choice(row["user"])), slots(rng, split, language)).strip()
    if kind != NO_PASSAGE:
        text = _polite(rng, language, text)
    cannot = _CANNOT[language].format(row["cannot"])
    return _slips(rng, language, text), Reply(cannot, short=cannot.split(".")[0] + ".")


def _polite(rng: random.Random, language: str, text: str) -> str:
    row = table(language, "frames")
    before = rng.choice(row["request_before"]) if rng.random() < 0.3 else ""
    after = rng.choice(row["request_after"]) if rng.random() < 0.2 else ""
    return before + text + after


def _slips(rng: random.Random, language: str, text: str) -> str:
    """Capital or small first letter, missing marks: as people type."""
    chance = rng.random()
    if language == "en":
        if chance < 0.55:
            return text[0].upper() + text[1:] if text else text
        if chance < 0.65:
            return text.rstrip("?.!") or text
        if chance < 0.7:
            return text.upper() if chance < 0.67 else text.lower()
        return text
    if chance < 0.15:
        return text.replace("？", "?").replace("，", ",").replace("！", "!")
    return text.rstrip("。？！") or text if chance < 0.25 else text
