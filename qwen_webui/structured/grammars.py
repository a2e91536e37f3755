"""What an answer must look like, in the words of each reader: the grammar for the constraining
engine, the schema for the final check, and the line that tells the model.

Pure functions of a Constraint. They raise SchemaRefused for one that cannot be held.
"""

from __future__ import annotations

import json
from typing import Any

from llguidance import LLMatcher

from qwen_webui.errors import SchemaRefused
from qwen_webui.structured import tools
from qwen_webui.structured.hostile import check_pattern
from qwen_webui.structured.patterns import UnusablePattern, literal, translated
from qwen_webui.structured.reading import read_schema_text
from qwen_webui.structured.rewrite import Rewriting
from qwen_webui.structured.values import MAX_CHOICES, Problem, located, shown
from qwen_webui.structured.walk import problems_of
from qwen_webui.types import Constraint

ANY_OBJECT: dict[str, Any] = {"type": "object"}


def grammar(constraint: Constraint) -> str:
    """The text that an LLMatcher is made of. Raises SchemaRefused."""
    match constraint.kind:
        case "json_schema" | "json_object":
            table = Rewriting()
            schema = table.joined(table.add(_sound_schema(constraint)))
            return LLMatcher.grammar_from_json_schema(json.dumps(schema))
        case "regex":
            return LLMatcher.grammar_from_regex(whole_regex(constraint.value))
        case "choice":
            texts = ("".join(map(literal, map(ord, text))) for text in choices(constraint))
            return LLMatcher.grammar_from_regex("|".join(texts))
        case "tools":
            return LLMatcher.grammar_from_lark(tools.lark(constraint))


def schema_of(constraint: Constraint) -> dict[str, Any] | None:
    """What a finished answer is validated against, as it was asked; None for other kinds."""
    if constraint.kind in ("json_schema", "json_object"):
        return _sound_schema(constraint)
    return None


def instruction(constraint: Constraint) -> str:
    """What is joined to the system message so that the model knows what to write. Empty for
    regular expressions, which say little to a model, and tools, which the template shows."""
    match constraint.kind:
        case "json_schema":
            schema = json.dumps(_sound_schema(constraint), ensure_ascii=False)
            return (
                "Answer with one JSON value and nothing else. It must be valid against this "
                f"JSON Schema:\n{schema}"
            )
        case "json_object":
            return "Answer with one JSON object and nothing else."
        case "choice":
            listed = json.dumps(choices(constraint), ensure_ascii=False)
            return f"Answer with exactly one of these texts and nothing else: {listed}"
        case _:
            return ""


def choices(constraint: Constraint) -> list[str]:
    """The texts of a choice. Raises SchemaRefused."""
    found = read_schema_text(constraint.value)
    if isinstance(found, Problem):
        raise refusal(found)
    if (
        not isinstance(found, list)
        or not all(isinstance(text, str) and text for text in found)
        or not found
    ):
        raise SchemaRefused(
            "The choices must be a list of one or more texts that are not empty. Write them so.",
            param="#",
        )
    if len(found) > MAX_CHOICES:
        raise SchemaRefused(
            f"There are {len(found):,} choices; at most {MAX_CHOICES:,} are taken. Ask for fewer.",
            code="schema_too_large",
            param="#",
        )
    return list(dict.fromkeys(found))


def whole_regex(pattern: str) -> str:
    """A regular expression that the whole answer matches, translated. Raises SchemaRefused."""
    try:
        check_pattern(pattern, whole=True)
        return translated(pattern, whole=True)
    except UnusablePattern as error:
        raise SchemaRefused(
            f"The regular expression {shown(pattern)} {error}.",
            code=error.code,
            param="#",
        ) from error


def refusal(problem: Problem) -> SchemaRefused:
    """A problem as the error that is raised."""
    return SchemaRefused(
        located(problem.sentence, problem.place),
        code=problem.code,
        param=problem.place,
    )


def _sound_schema(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "json_object":
        return ANY_OBJECT
    found = read_schema_text(constraint.value)
    for problem in problems_of(found):
        raise refusal(problem)
    schema: dict[str, Any] = found
    return schema
