"""One pass over a schema that finds everything wrong with it before anything is compiled.

Linear in the schema's size and without recursion, so that no schema can hurt it. What only a
compiler can tell (two constraints that contradict each other) is not found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qwen_webui.structured import keywords
from qwen_webui.structured.exclusive import overlap
from qwen_webui.structured.formats import NUMBERS, PATTERNS
from qwen_webui.structured.hostile import check_pattern
from qwen_webui.structured.patterns import UnusablePattern
from qwen_webui.structured.references import endless, parts, resolve
from qwen_webui.structured.unique import MOST_LISTS, at_most_one, unique_lists
from qwen_webui.structured.values import (
    MAX_CHOICES,
    MAX_DEPTH,
    MAX_MEMBERS,
    MAX_NODES,
    MAX_PROBLEMS,
    MAX_REPEAT,
    Problem,
    shown,
    step,
)

_LARGEST = {"minLength": MAX_REPEAT, "minItems": MAX_MEMBERS, "minProperties": MAX_MEMBERS}
_PAIRS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
)


def problems_of(root: Any) -> list[Problem]:
    """Everything wrong with a schema, in its order; at most MAX_PROBLEMS of it."""
    if isinstance(root, Problem):
        return [root]
    if not isinstance(root, dict):
        return [Problem("#", "The schema must be a JSON object. Write one.", "schema_invalid")]
    found: list[Problem] = []
    open_places: list[tuple[Any, str, int]] = [(root, "#", 0)]
    seen = 0
    while open_places:
        schema, place, depth = open_places.pop()
        seen += 1
        if depth > MAX_DEPTH:
            found.append(
                Problem(
                    place,
                    f"`{shown(place.rsplit('/', 1)[-1])}` is nested deeper than {MAX_DEPTH} "
                    "levels. Flatten the schema, or use `$defs` and `$ref`.",
                    "schema_too_large",
                )
            )
            break
        if seen > MAX_NODES:
            found.append(
                Problem(
                    place,
                    f"The schema has more than {MAX_NODES:,} parts. Split it.",
                    "schema_too_large",
                )
            )
            break
        if isinstance(schema, bool):
            continue
        for problem in _of_one(schema, place, root):
            found.append(problem)
        if len(found) >= MAX_PROBLEMS:
            break
        open_places.extend(
            (below, where, depth + 1) for below, where in reversed(list(parts(schema, place)))
        )
    if not found and (where := endless(root)) is not None:
        found.append(
            Problem(
                where,
                "`$ref` leads back to itself without an end, so that no answer could be finished. "
                'Make it optional, or write `anyOf` with `{"type": "null"}`.',
                "schema_invalid",
            )
        )
    return found[:MAX_PROBLEMS]


def _of_one(schema: dict[str, Any], place: str, root: dict[str, Any]) -> Iterator[Problem]:
    sound = True
    for name, value in schema.items():
        for problem in _of_keyword(name, value, step(place, name), root):
            sound = False
            yield problem
    if not sound:
        return
    for low, high in _PAIRS:
        if low in schema and high in schema and schema[low] > schema[high]:
            yield Problem(
                step(place, low),
                f"`{low}` {shown(schema[low])} is above `{high}` {shown(schema[high])}, so that "
                "nothing is valid. Correct one of them.",
                "schema_invalid",
            )
    if (uncountable := _uncountable(schema, place)) is not None:
        yield uncountable
    if schema.get("uniqueItems") and not at_most_one(schema) and unique_lists(schema, root) is None:
        yield Problem(
            step(place, "uniqueItems"),
            "`uniqueItems` cannot be held for such items, only where they are few: booleans, or an "
            f"`enum` of plain values that gives, with `maxItems`, at most {MOST_LISTS:,} lists. "
            "Give the items one, or leave it out and drop repetitions as you read.",
        )
    if "oneOf" in schema and (pair := overlap(schema["oneOf"], root)):
        yield Problem(
            step(place, "oneOf"),
            f"`oneOf`: nothing keeps branches {pair[0]} and {pair[1]} (counted from 0) apart. "
            "Use `anyOf`, or give each branch a required property with its own `const`.",
        )


def _uncountable(schema: dict[str, Any], place: str) -> Problem | None:
    """Numbers of properties can be held only where each property's presence is certain."""
    named = schema.get("properties", {})
    certain = set(schema.get("required", ()))
    least = schema.get("minProperties", 0)
    if set(named) <= certain or (least <= len(certain) and "maxProperties" not in schema):
        return None
    others = schema.get("additionalProperties", "patternProperties" in schema)
    roomy = schema.get("maxProperties", 0) >= len(certain | set(named))
    if least <= len(certain) and others is False and roomy:
        return None
    name = "maxProperties" if "maxProperties" in schema else "minProperties"
    return Problem(
        step(place, name),
        f"`{name}` cannot be held beside optional `properties`. Make them all `required`, or "
        "remove it.",
    )


def _of_keyword(name: str, value: Any, place: str, root: dict[str, Any]) -> Iterator[Problem]:
    if name in keywords.REFUSED:
        advice = keywords.REFUSED[name]
        yield Problem(place, f"`{name}` cannot be held while a text is written. {advice}")
        return
    if name in keywords.NOTES or (name.startswith("x-") and name != "x-guidance"):
        if name == "$schema" and not str(value).startswith(keywords.DIALECTS):
            yield Problem(place, "`$schema` must name JSON Schema 2020-12. Remove it.")
        return
    if name not in keywords.VALUES:
        yield Problem(
            place,
            f"`{shown(name)}` is not a keyword of JSON Schema 2020-12. Correct its spelling or "
            "remove it.",
        )
        return
    test, expected = keywords.VALUES[name]
    if not test(value):
        yield Problem(place, f"`{name}` must be {expected}. Correct it.", "schema_invalid")
        return
    yield from _of_value(name, value, place, root)


def _of_value(name: str, value: Any, place: str, root: dict[str, Any]) -> Iterator[Problem]:
    if name == "$ref":
        if (trouble := resolve(value, root)[1]) is not None:
            yield Problem(place, f"`$ref` {shown(value)} {trouble}.")
    elif name == "format" and value not in PATTERNS and value not in NUMBERS:
        yield Problem(
            place,
            f"`format` {shown(value)} cannot be held. Known are {', '.join(sorted(PATTERNS))}. "
            "Use a `pattern`, or remove it.",
        )
    elif name in ("pattern", "patternProperties"):
        for pattern in [value] if name == "pattern" else value:
            try:
                check_pattern(pattern, whole=False)
            except UnusablePattern as error:
                where = place if name == "pattern" else step(place, pattern)
                yield Problem(where, f"`{name}` {shown(pattern)} {error}.", error.code)
    elif name == "enum":
        yield from _of_enum(value, place)
    elif name == "const" and (trouble := _unwritable(value)):
        yield Problem(place, f"`const` {trouble}")
    elif name in _LARGEST and value > _LARGEST[name]:
        yield Problem(
            place,
            f"`{name}` {shown(value)} is above {_LARGEST[name]:,}, more than an answer can hold. "
            "Lower it.",
            "schema_too_large",
        )
    elif name == "properties" and len(value) > MAX_MEMBERS:
        yield Problem(
            place,
            f"`properties` names {len(value):,}; at most {MAX_MEMBERS:,} are taken. Split it.",
            "schema_too_large",
        )
    elif name == "multipleOf" and (value * 1024) % 1 != 0:
        yield Problem(
            place,
            f"`multipleOf` {shown(value)} cannot be checked exactly in binary fractions. Use a "
            "whole number (cents), halves, quarters or eighths, or a string with a `pattern`.",
        )
    elif name == "propertyNames" and not _plain_names(value, root):
        yield Problem(
            place,
            "`propertyNames` can be held as `pattern`, `enum` or `const` only. Use one of them.",
        )


def _plain_names(value: Any, root: dict[str, Any]) -> bool:
    if isinstance(value, dict) and "$ref" in value:
        value = resolve(value["$ref"], root)[0]
    return (
        isinstance(value, dict)
        and len({"pattern", "enum", "const"} & value.keys()) == 1
        and (
            value.keys() <= {"pattern", "enum", "const", "type", *keywords.NOTES}
            and value.get("type", "string") == "string"
        )
    )


def _of_enum(values: list[Any], place: str) -> Iterator[Problem]:
    if len(values) > MAX_CHOICES:
        yield Problem(
            place,
            f"`enum` has {len(values):,} values; at most {MAX_CHOICES:,} are taken. Use a "
            "`pattern`, or ask for fewer.",
            "schema_too_large",
        )
        return
    for number, value in enumerate(values):
        if trouble := _unwritable(value):
            yield Problem(step(place, number), f"`enum` {trouble}")


def _unwritable(value: Any) -> str | None:
    """Why a fixed value could not be written, looked for without recursion."""
    open_values = [(value, 0)]
    while open_values:
        item, depth = open_values.pop()
        if depth > MAX_DEPTH:
            return f"holds a value nested deeper than {MAX_DEPTH} levels. Flatten it."
        if isinstance(item, str) and any(ord(c) < 32 and c not in "\b\f\n\r\t" for c in item):
            return "holds a control character, which is never written. Remove it."
        if isinstance(item, list):
            open_values += [(x, depth + 1) for x in item]
        elif isinstance(item, dict):
            open_values += [(x, depth + 1) for pair in item.items() for x in pair]
    return None
