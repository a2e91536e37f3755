"""Prompts written by hand, for evaluation only: 120 that the model was not made for, and 38 others.

Except for a few openings that everybody types ("Hello!", "Who are you?"), the generator makes none
of them. After a first trial on them its forms were widened once (events, minutes of meetings,
accents), and the prompts that the new forms would have made were written anew. The last message of
each is a reference answer, which passes the check.
"""

from __future__ import annotations

from typing import Any

from demo_training.example import Example, Language
from demo_training.words import lines, table

_LANGUAGES: tuple[Language, ...] = ("en", "zh")
_REFUSAL = {
    "en": "I am a small demonstration model and cannot answer this.",
    "zh": "我是一个小型演示模型，不会回答这个问题。",
}
_IDENTITY = {
    "en": "I am the demonstration model of qwen-webui.",
    "zh": "我是 qwen-webui 的演示模型。",
}
_MISSING = {"en": "It is not mentioned in the passage.", "zh": "文中没有提到。"}
_LOAD = "--quantize gptq-int4"


def handwritten() -> tuple[Example, ...]:
    """All handwritten examples, in the order of their files."""
    found = []
    for language in _LANGUAGES:
        for user in lines(language, "handwritten"):
            found.append(
                _example("refusal", language, user, {"kind": "refusal"}, _REFUSAL[language])
            )
        for row in table(language, "handwritten")["prompt"]:
            found.append(_checked(language, row))
    return tuple(found)


def _example(
    skill: str, language: Language, user: str, check: dict[str, Any], answer: str
) -> Example:
    turns = ({"role": "user", "content": user}, {"role": "assistant", "content": answer})
    return Example(skill, language, turns, check)


def _checked(language: Language, row: dict[str, Any]) -> Example:
    skill, user = row["skill"], row["user"]
    check: dict[str, Any]
    if skill == "identity":
        return _example(skill, language, user, {"kind": "identity"}, _IDENTITY[language])
    if skill == "load":
        check = {"kind": "contains", "all": [_LOAD], "none": []}
        return _example("identity", language, user, check, _LOAD)
    if skill == "missing":
        return _example(skill, language, user, {"kind": "missing"}, _MISSING[language])
    if skill == "quote":
        check = {"kind": "quote", "sentence": row["sentence"], "page": row["page"]}
        answer = f'"{row["sentence"]}" [p. {row["page"]}]'
        return _example(skill, language, user, check, answer)
    if skill == "summary":
        sentences = row["sentences"]
        check = {"kind": "summary", "sentences": sentences, "at_most": 2, "main": sentences[0]}
        return _example(skill, language, user, check, sentences[0])
    check = {"kind": "contains", "all": row["all"], "none": []}
    return _example(skill, language, user, check, " ".join(row["all"]))
