"""A call of one of the offered tools in Hermes form, and the sentence that tells its result."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo_training import open_words, systems, values
from demo_training.chat import small_talk
from demo_training.dialogue import Dialogue
from demo_training.example import Example, Language, Split
from demo_training.words import table
from demo_training.world import value_for

_OPEN_TYPES = ("person", "place", "noun", "integer", "code", "date", "integer", "name")


@dataclass(frozen=True)
class Tool:
    """A function that can be called: its schema, a request for it, and what it gives back."""

    name: str
    about: str
    types: dict[str, str]
    arguments: dict[str, Any]
    request: str
    gives: str
    label: str
    value: str

    @property
    def schema(self) -> dict[str, Any]:
        properties = {
            key: {"type": "integer" if kind == "integer" else "string"}
            for key, kind in self.types.items()
        }
        parameters = {"type": "object", "properties": properties, "required": list(self.types)}
        function = {"name": self.name, "description": self.about, "parameters": parameters}
        return {"type": "function", "function": function}


def build(rng: random.Random, split: Split, language: Language) -> Example:
    talk = Dialogue(rng, split, language, systems.draw(rng, split, language, ("general",), plain=1))
    offered = [draw(rng, split, language) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    offered = list({tool.name: tool for tool in offered}.values())
    talk.tools = tuple(tool.schema for tool in offered)
    for tool in rng.sample(offered, rng.choice((0, 0, 1)) * (len(offered) > 1)):
        _use(talk, tool)
    if rng.random() < 0.12:
        _, words, reply = small_talk(rng, split, language)
        talk.user(words)
        said = talk.reply(reply)
        return talk.finish("tool", {"kind": "exact", "answer": said})
    tool = rng.choice(offered)
    if rng.random() < 0.25:
        said = _use(talk, tool)
        return talk.finish("tool", {"kind": "exact", "answer": said})
    talk.user(tool.request)
    talk.call(tool.name, tool.arguments)
    return talk.finish("tool", {"kind": "tool", "name": tool.name, "arguments": tool.arguments})


def draw(rng: random.Random, split: str, language: str) -> Tool:
    return _open(rng, split, language) if rng.random() < 0.4 else _closed(rng, split, language)


def _argument(rng: random.Random, split: str, language: str, kind: str) -> Any:
    draws: dict[str, Callable[[], Any]] = {
        "integer": lambda: open_words.number(rng, split, 2, 999),
        "noun": lambda: values.noun(rng, split, language),
        "name": lambda: open_words.name_word(rng, split, language),
        "phrase": lambda: _phrase(rng, split, language),
    }
    return draws[kind]() if kind in draws else values.value(rng, split, language, kind)


def _phrase(rng: random.Random, split: str, language: str) -> str:
    words = [values.noun(rng, split, language) for _ in range(rng.randint(1, 3))]
    return (" " if language == "en" else "").join(words)


def _closed(rng: random.Random, split: str, language: str) -> Tool:
    row = rng.choice(table(language, "tools")["tool"])
    types = row["parameters"]
    arguments = {key: _argument(rng, split, language, kind) for key, kind in types.items()}
    return Tool(
        name=rng.choice(row["names"]),
        about=row["about"],
        types=types,
        arguments=arguments,
        request=rng.choice(row["ask"]).format(**arguments),
        gives=row["gives"],
        label=row["label"].format(**arguments),
        value=_result(rng, split, language, row["value"]),
    )


def _result(rng: random.Random, split: str, language: str, kind: str) -> str:
    if kind == "noun":
        return values.noun(rng, split, language)
    return value_for(rng, split, language, kind)


def _open(rng: random.Random, split: str, language: str) -> Tool:
    """A tool that no list holds: any verb, any noun, any parameters."""
    rows = table(language, "tools")["open"]
    verb = rng.choice(rows["verbs"])
    english = values.noun(rng, split, "en").replace(" ", "_")
    noun = english.replace("_", " ") if language == "en" else values.noun(rng, split, language)
    keys = rng.sample(rows["parameters"], rng.choice((1, 1, 2, 2, 3)))
    types = {key: rng.choice(_OPEN_TYPES) for key in keys}
    arguments = {key: _argument(rng, split, language, kind) for key, kind in types.items()}
    pairs = [rows["pair"].format(p=key, v=value) for key, value in arguments.items()]
    told = rows["and"].join((", ".join(pairs[:-1]), pairs[-1])) if pairs[1:] else pairs[0]
    name = f"{verb}_{english}"
    filled = {
        "Verb": verb.capitalize(),
        "verb": verb,
        "noun": noun,
        "p": keys[0],
        "name": name,
        "list": told,
        "List": told[0].upper() + told[1:],
    }
    gives = rng.choice(rows["parameters"])
    return Tool(
        name=name,
        about=rng.choice(rows["about"]).format(**filled),
        types=types,
        arguments=arguments,
        request=rng.choice(rows["ask"]).format(**filled),
        gives=gives,
        label=gives,
        value=values.code(rng, split, language),
    )


def _use(talk: Dialogue, tool: Tool) -> str:
    """A whole round: request, call, result, and the sentence that tells it."""
    talk.user(tool.request)
    talk.call(tool.name, tool.arguments)
    talk.result({tool.gives: tool.value})
    form: str = table(talk.language, "tools")["answer"]["one"]
    return talk.say(form.format(l=tool.label, v=tool.value))
