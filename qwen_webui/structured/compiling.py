"""From a constraint to a matcher that can begin, inside limits; says where it fails if it does."""

from __future__ import annotations

import json
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from qwen_webui.errors import SchemaRefused
from qwen_webui.structured.grammars import grammar, schema_of
from qwen_webui.structured.references import parts
from qwen_webui.structured.rewrite import Rewriting
from qwen_webui.structured.values import last, located, shown
from qwen_webui.types import Constraint

MAX_LOOKED_AT = 100


def limits() -> LLParserLimits:
    """What one grammar may cost, for the checker and for the engine alike."""
    return LLParserLimits(
        max_items_in_row=5_000,  # an object of MAX_MEMBERS optional properties has 4,000
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=500_000,
        step_max_items=100_000,
        max_lexer_states=100_000,
        max_grammar_size=500_000,
        verbose_errors=False,
    )


def compiled(constraint: Constraint, vocabulary: LLTokenizer) -> str:
    """The grammar, tried out. Raises SchemaRefused when it cannot be made or nothing fits it."""
    text = grammar(constraint)
    trouble = _trouble(LLMatcher(vocabulary, text, log_level=0, limits=limits()))
    if trouble is None:
        return text
    schema = schema_of(constraint)
    place = "#" if schema is None else _deepest(schema, vocabulary)
    whole = "The constraint" if schema is None else "The schema as a whole"
    about = whole if place == "#" else f"`{shown(last(place))}`"
    advice = "Correct or simplify it."
    if place == "#" and schema is not None:
        advice = "Look at what its keywords and parts ask for together."
    raise SchemaRefused(
        f"{located(f'{about} cannot be held: {trouble}.', place)} {advice}",
        code="schema_invalid" if "no answer" in trouble else "schema_unsupported",
        param=place,
    )


def _trouble(matcher: LLMatcher) -> str | None:
    """Why a matcher cannot begin."""
    if matcher.is_error():
        said = matcher.get_error().splitlines()[0] if matcher.get_error() else ""
        if "nsatisfiable" in said:
            return "no answer can satisfy it"
        if "limit" in said or "large" in said or "complex" in said or "fuel" in said:
            return "it is too complex"
        return shown(said) or "the grammar engine refuses it"
    mask = matcher.compute_bitmask()
    if matcher.is_error():
        return "it is too complex"
    if not any(mask):
        return "no answer can satisfy it, or none ever ends"
    return None


def _deepest(root: dict[str, Any], vocabulary: LLTokenizer) -> str:
    """The innermost place that fails by itself, so that the person looks in the right one."""
    place, schema = "#", root
    looked_at = 0
    while True:
        for below, where in parts(schema, place):
            looked_at += 1
            if looked_at > MAX_LOOKED_AT:
                return place
            if isinstance(below, bool):
                continue
            table = Rewriting()
            made = table.joined(table.add(root, below))
            text = LLMatcher.grammar_from_json_schema(json.dumps(made))
            if _trouble(LLMatcher(vocabulary, text, log_level=0, limits=limits())) is not None:
                place, schema = where, below
                break
        else:
            return place
