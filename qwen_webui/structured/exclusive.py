"""Whether the branches of a `oneOf` can be told apart, so that it means the same as `anyOf`.

Two branches are apart when no JSON type is allowed by both, when fixed values differ, or when both
require a property whose fixed values differ. Anything else counts as an overlap.
"""

from __future__ import annotations

import json
from typing import Any

from qwen_webui.structured.keywords import TYPES
from qwen_webui.structured.references import followed

MAX_BRANCHES = 200
_EVERY_TYPE = frozenset(TYPES) - {"integer"}


def overlap(branches: list[Any], root: dict[str, Any]) -> tuple[int, int] | None:
    """The first two branches that could both hold; None when every pair is apart."""
    seen = [followed(branch, root) for branch in branches]
    if len(seen) > MAX_BRANCHES:
        return (0, MAX_BRANCHES)
    marks = [_marks(branch, root) for branch in seen]
    for second in range(len(seen)):
        for first in range(second):
            if not _apart(marks[first], marks[second]):
                return first, second
    return None


# The types a branch allows, its fixed values, and those of its required properties.
_Marks = tuple[frozenset[str], frozenset[str] | None, dict[str, frozenset[str]]]


def _marks(branch: Any, root: dict[str, Any]) -> _Marks:
    if branch is False:
        return frozenset(), frozenset(), {}
    if not isinstance(branch, dict):
        return _EVERY_TYPE, None, {}
    types = branch.get("type", list(_EVERY_TYPE))
    listed = frozenset(
        "number" if t == "integer" else t for t in ([types] if isinstance(types, str) else types)
    )
    named = branch.get("properties")
    required = branch.get("required")
    told = {}
    if listed == {"object"} and isinstance(named, dict) and isinstance(required, list):
        for name in required:
            fixed = fixed_values(followed(named.get(name), root))
            if fixed is not None:
                told[name] = fixed
    return listed, fixed_values(branch), told


def fixed_values(schema: Any) -> frozenset[str] | None:
    """The values a schema's `const` or `enum` leaves, each as a text that equal values share."""
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return frozenset({as_text(schema["const"])})
    if isinstance(schema.get("enum"), list):
        return frozenset(map(as_text, schema["enum"]))
    return None


def as_text(value: Any) -> str:
    """A text that equal values share."""
    # 1 and 1.0 are one number in JSON Schema; true is not 1.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _apart(one: _Marks, other: _Marks) -> bool:
    if not one[0] & other[0]:
        return True
    if one[1] is not None and other[1] is not None and not one[1] & other[1]:
        return True
    return any(name in other[2] and not values & other[2][name] for name, values in one[2].items())
