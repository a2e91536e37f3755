"""Regular expressions of schemas: read as the final check (Python's `re`) reads them, written for
the engine that constrains, which takes a little less and means some classes differently.

Everything written matches no text that `re` would not match; it may match less (`\\s` is ASCII
only, `$` is the very end). What neither side could agree on is refused by name: look-around,
back-references, word boundaries, flags, atomic groups.
"""

from __future__ import annotations

import re

# The parser behind re.compile. Its name is private but the same in every Python this runs on, and
# there is no public way to see an expression's structure.
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from qwen_webui.structured.decimals import without_look_ahead
from qwen_webui.structured.values import MAX_PATTERN, MAX_REPEAT, shown

# What may stand around a match that is not anchored: bounded, so that an end can be found.
ANYTHING = r"(?:[\x00-\x{10ffff}]){0,100}"
MAX_GROUPS = 50
_UNSUPPORTED = {
    sre.ASSERT: "a look-ahead or look-behind",
    sre.ASSERT_NOT: "a look-ahead or look-behind",
    sre.GROUPREF: "a back-reference",
    sre.GROUPREF_EXISTS: "a conditional group",
    sre.ATOMIC_GROUP: "an atomic group",
    sre.POSSESSIVE_REPEAT: "a possessive quantifier",
}
_POSITIVE = {
    sre.CATEGORY_DIGIT: "0-9",
    sre.CATEGORY_NOT_DIGIT: r"\P{Nd}",
    sre.CATEGORY_SPACE: r" \t\n\r",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: "0-9A-Za-z_",
    # Signs and emoji only: all of Unicode's would make an automaton of many thousand states.
    sre.CATEGORY_NOT_WORD: (
        r"\x{00}-/:-@\[-\^`{-\x{7f}\x{2010}-\x{2027}\x{3001}-\x{3003}\x{3008}-\x{3011}"
        r"\x{ff01}\x{ff0c}\x{ff1a}\x{ff1b}\x{ff1f}\x{1f300}-\x{1f64f}"
    ),
}
# Inside [^...] a class is written too large rather than too small.
_NEGATED = {
    sre.CATEGORY_DIGIT: r"\p{Nd}",
    sre.CATEGORY_NOT_DIGIT: "[^0-9]",
    sre.CATEGORY_SPACE: r"\s\x{1c}-\x{1f}",
    sre.CATEGORY_NOT_SPACE: r"[^ \t\n\r]",
    sre.CATEGORY_WORD: r"0-9A-Za-z_\x{80}-\x{10ffff}",
    sre.CATEGORY_NOT_WORD: "[^0-9A-Za-z_]",
}


class UnusablePattern(Exception):
    """The expression cannot be held, or is none; the message says why and what to do."""

    def __init__(self, message: str, code: str = "schema_unsupported") -> None:
        super().__init__(message)
        self.code = code


def parsed(pattern: str) -> Any:
    """The expression's structure. Raises UnusablePattern."""
    if len(pattern) > MAX_PATTERN:
        raise UnusablePattern(
            f"has {len(pattern):,} characters; at most {MAX_PATTERN:,} are taken. Shorten it"
        )
    if _depth(pattern) > MAX_GROUPS:
        raise UnusablePattern(f"nests more than {MAX_GROUPS} groups. Flatten it")
    try:
        tree = _parser.parse(without_look_ahead(pattern) or pattern)
    except re.error as error:
        raise _no_expression(error, pattern) from error
    except (OverflowError, RecursionError) as error:
        raise UnusablePattern(
            f"is not a regular expression ({shown(error)}). Correct it", "schema_invalid"
        ) from error
    if tree.state.flags & ~re.UNICODE.value:
        raise UnusablePattern("has flags like (?i). Write the letters out, [Aa]")
    return tree


def _no_expression(error: re.error, pattern: str) -> UnusablePattern:
    if error.msg in (r"bad escape \p", r"bad escape \P"):
        return UnusablePattern(
            f"has {error.msg[-2:]}{{...}}, a class of Unicode's, which cannot be held. Name the "
            "characters, for example [A-Za-zÀ-ÿ]"
        )
    place = "" if error.pos is None else f", at character {error.pos + 1} of {len(pattern)}"
    return UnusablePattern(
        f"is not a regular expression: {error.msg}{place}. Correct it", "schema_invalid"
    )


def _depth(pattern: str) -> int:
    """How deep parentheses nest; those in a class may count too."""
    deepest = depth = 0
    for mark in re.findall(r"\\.|[()]", pattern, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(mark, 0)
        deepest = max(deepest, depth)
    return deepest


def translated(pattern: str, *, whole: bool) -> str:
    """The expression for the constraining engine, matching whole texts. `whole` False: as in a
    schema, where it may match anywhere inside. Raises UnusablePattern."""
    tree = parsed(pattern)
    return _alternatives(list(tree), whole, whole)


def _alternatives(items: list[Any], open_left: bool, open_right: bool) -> str:
    """A sequence whose ends may be anchors. `open_*`: that end is at the text's end anyway."""
    while len(items) == 1 and items[0][0] is sre.SUBPATTERN:
        items = list(_group(items[0][1]))
    if len(items) == 1 and items[0][0] is sre.BRANCH:
        parts = [_alternatives(list(part), open_left, open_right) for part in items[0][1][1]]
        return f"(?:{'|'.join(parts)})"
    while items and _is_anchor(items[0], sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
        items, open_left = items[1:], True
    while items and _is_anchor(items[-1], sre.AT_END, sre.AT_END_STRING):
        items, open_right = items[:-1], True
    inner = _sequence(items)
    return f"{'' if open_left else ANYTHING}{inner}{'' if open_right else ANYTHING}"


def _is_anchor(item: Any, *kinds: Any) -> bool:
    return item[0] is sre.AT and item[1] in kinds


def _group(argument: Any) -> Any:
    _, added, removed, inner = argument
    if added or removed:
        raise UnusablePattern("has flags like (?i:...). Write the letters out, [Aa]")
    return inner


def _sequence(items: Any) -> str:
    return "".join(_one(kind, argument) for kind, argument in items)


def _one(kind: Any, argument: Any) -> str:
    if kind is sre.LITERAL:
        return literal(argument)
    if kind is sre.NOT_LITERAL:
        return f"[^{literal(argument)}]"
    if kind is sre.ANY:
        return r"[^\n]"
    if kind is sre.IN:
        return _class(argument)
    if kind is sre.BRANCH:
        return f"(?:{'|'.join(_sequence(part) for part in argument[1])})"
    if kind is sre.SUBPATTERN:
        return f"(?:{_sequence(_group(argument))})"
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        return _repeat(*argument)
    if kind is sre.AT:
        raise UnusablePattern(
            "has an anchor or word boundary inside. Put ^ at its beginning and $ at its end only"
        )
    name = _UNSUPPORTED.get(kind, f"a part ({str(kind).lower()}) that is not known")
    raise UnusablePattern(f"has {name}, which cannot be held. Write it without")


def _repeat(least: int, most: Any, inner: Any) -> str:
    body = f"(?:{_sequence(inner)})"
    endless = most is sre.MAXREPEAT
    if max(least, 0 if endless else int(most)) > MAX_REPEAT:
        raise UnusablePattern(f"repeats more than {MAX_REPEAT:,} times. Use a smaller count")
    return f"{body}{{{least},{'' if endless else int(most)}}}"


def _class(items: Any) -> str:
    negated = items[0][0] is sre.NEGATE
    names = _NEGATED if negated else _POSITIVE
    parts = []
    for kind, argument in items[1:] if negated else items:
        if kind is sre.LITERAL:
            parts.append(literal(argument))
        elif kind is sre.RANGE:
            parts.append(f"{literal(argument[0])}-{literal(argument[1])}")
        else:
            parts.append(names[argument])
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def literal(code: int) -> str:
    """One character, safe in and out of a class."""
    character = chr(code)
    if 0xD800 <= code <= 0xDFFF:
        raise UnusablePattern("holds half a surrogate pair. Remove it")
    return character if character.isalnum() and code < 128 else f"\\x{{{code:x}}}"
