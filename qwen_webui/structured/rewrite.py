"""A schema as the constraining engine gets it: the same values or fewer, never others.

Formats become patterns, numbers get bounds, `oneOf` (proved exclusive by walk.py) becomes `anyOf`,
notes go, references are followed into one table. An object that names its properties gets no
others unless the schema says so: that is what people mean, and it keeps names unique. Expects a
schema in which walk.py found no problem.
"""

from __future__ import annotations

from typing import Any

from qwen_webui.structured import keywords
from qwen_webui.structured.formats import PATTERNS
from qwen_webui.structured.numbers import KEYWORDS as NUMERIC
from qwen_webui.structured.numbers import bounds
from qwen_webui.structured.patterns import translated
from qwen_webui.structured.references import followed, parts, resolve
from qwen_webui.structured.unique import at_most_one, unique_lists

# No free white space; no \u escapes, which could write half a character or one name in two ways.
OPTIONS = {
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    "json_allowed_escapes": 'bfnrt\\"',
    "coerce_one_of": False,
    "lenient": False,
}
_SCALARS = ["string", "number", "boolean", "null"]
_EVERY_TYPE = [*_SCALARS, "array", "object"]
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_COPIED = ("enum", "const", "multipleOf", *_COUNTS)
_BRANCHES = frozenset({"$ref", "anyOf", "oneOf", "allOf"})
_ANY = "any"
# How deep a value may nest that the schema says nothing about. Readers have limits; and where the
# engine must intersect such values with other schemas, each level doubles its work.
NESTED = 10
NESTED_TOGETHER = 3


class Rewriting:
    """Schemas rewritten into one table of definitions, which `joined` puts together."""

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._names: dict[tuple[int, str], str] = {}
        self._open: list[tuple[str, str, _One]] = []
        self._roots: list[dict[str, Any]] = []  # kept, so that id() stays theirs

    def add(self, root: dict[str, Any], schema: Any = None) -> dict[str, Any]:
        """The rewritten form of `schema` (or of the root itself), which refers to this table."""
        self._roots.append(root)
        made = _One(self, root).schema(root if schema is None else schema)
        # One after the other: references can be a longer chain than functions may call.
        while self._open:
            name, reference, one = self._open.pop()
            self._definitions[name] = one.schema(resolve(reference, root)[0])
        return made

    def joined(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` with the options and the definitions it may refer to."""
        return {"x-guidance": OPTIONS, **schema, "$defs": self._definitions}

    def reference(self, reference: str, root: dict[str, Any], one: _One) -> dict[str, Any]:
        """What `reference` points at in `root`, to be rewritten once."""
        key = (id(root), reference)
        if key not in self._names:
            self._names[key] = f"d{len(self._names)}"
            self._open.append((self._names[key], reference, one))
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def anything(self, levels: int) -> dict[str, Any]:
        """A reference to any JSON value, containers nested at most `levels` deep."""
        low, high = bounds({}, whole=False)
        for level in range(levels + 1):
            made: dict[str, Any] = {"type": _SCALARS, "minimum": low, "maximum": high}
            if level:
                below = {"$ref": f"#/$defs/{_ANY}{level - 1}"}
                made |= {"type": _EVERY_TYPE, "items": below, "additionalProperties": below}
            self._definitions.setdefault(f"{_ANY}{level}", made)
        return {"$ref": f"#/$defs/{_ANY}{levels}"}


class _One:
    """The rewriting of one root and what is inside it."""

    def __init__(self, table: Rewriting, root: dict[str, Any]) -> None:
        self._table = table
        self._root = root
        self._closing = _may_close(root)

    def _anything(self) -> dict[str, Any]:
        return self._table.anything(NESTED if self._closing else NESTED_TOGETHER)

    def schema(self, schema: Any) -> dict[str, Any]:
        """Any schema inside the root."""
        if schema is True:
            return self._anything()
        if schema is False:
            return {"type": "string", "enum": []}
        said = {k: v for k, v in schema.items() if k not in keywords.NOTES and k[:2] != "x-"}
        said = {k: v for k, v in said.items() if k not in ("$defs", "definitions")}
        if list(said) == ["allOf"] and len(said["allOf"]) == 1:
            return self.schema(said["allOf"][0])
        if not said:
            return self._anything()
        return self._constraints(said)

    def _constraints(self, said: dict[str, Any]) -> dict[str, Any]:
        if said.get("uniqueItems") and not at_most_one(said):
            return {"enum": unique_lists(said, self._root)}
        made: dict[str, Any] = {name: said[name] for name in _COPIED if name in said}
        for name in (name for name in _COUNTS if name in made):
            made[name] = int(made[name])  # 2.0 is a whole number in JSON Schema
        extra = self._branches(said, made)
        types = said.get("type")
        fixed = "enum" in said or "const" in said
        if types is None and not fixed and not _BRANCHES & said.keys():
            types = _EVERY_TYPE
        if types is not None:
            made["type"] = types
        listed = [types] if isinstance(types, str) else types or []
        self._numbers(said, made, [] if fixed else listed)
        extra += self._text(said, made)
        if "array" in listed or {"items", "prefixItems"} & said.keys():
            self._array(said, made)
        named = {"properties", "patternProperties", "additionalProperties", "required"}
        if "object" in listed or (named | {"propertyNames"}) & said.keys():
            self._object(said, made)
        if extra:
            made["allOf"] = extra
        return made

    def _branches(self, said: dict[str, Any], made: dict[str, Any]) -> list[Any]:
        """Puts `$ref` and one list of branches into `made`; the rest is for `allOf`."""
        if "$ref" in said:
            made.update(self._table.reference(said["$ref"], self._root, self))
        extra = [self.schema(item) for item in said.get("allOf", [])]
        lists = [said[name] for name in ("anyOf", "oneOf") if name in said]
        for branches in lists:
            rewritten = [self.schema(item) for item in branches]
            if "anyOf" in made:
                extra.append({"anyOf": rewritten})
            else:
                made["anyOf"] = rewritten
        return extra

    def _numbers(self, said: dict[str, Any], made: dict[str, Any], types: list[str]) -> None:
        if "number" in types or "integer" in types:
            whole = "number" not in types
            made["minimum"], made["maximum"] = bounds(said, whole=whole)
        else:
            made.update({name: said[name] for name in NUMERIC[:4] if name in said})

    def _text(self, said: dict[str, Any], made: dict[str, Any]) -> list[Any]:
        patterns = []
        if "pattern" in said:
            patterns.append(translated(said["pattern"], whole=False))
        if said.get("format") in PATTERNS:
            patterns.append(translated(PATTERNS[said["format"]], whole=True))
        anchored = [f"^(?:{pattern})$" for pattern in patterns]
        if anchored:
            made["pattern"] = anchored.pop()
        return [{"pattern": pattern} for pattern in anchored]

    def _array(self, said: dict[str, Any], made: dict[str, Any]) -> None:
        if "prefixItems" in said:
            made["prefixItems"] = [self.schema(item) for item in said["prefixItems"]]
        items = said.get("items", True)
        made["items"] = False if items is False else self.schema(items)

    def _object(self, said: dict[str, Any], made: dict[str, Any]) -> None:
        named = {name: self.schema(item) for name, item in said.get("properties", {}).items()}
        by_pattern = {
            f"^(?:{translated(name, whole=False)})$": self.schema(item)
            for name, item in said.get("patternProperties", {}).items()
        }
        required = said.get("required", [])
        others = said.get("additionalProperties")
        if "propertyNames" in said:
            names = followed(said["propertyNames"], self._root)
            below = self.schema(True if others is None else others)
            if "pattern" in names:
                by_pattern[f"^(?:{translated(names['pattern'], whole=False)})$"] = below
            else:
                allowed = names["enum"] if "enum" in names else [names["const"]]
                named = {name: below for name in allowed if isinstance(name, str)}
            others = False
        enough = said.get("minProperties", 0) <= len(named)
        closing = self._closing or "maxProperties" in said
        if others is None and ("properties" in said or by_pattern) and enough and closing:
            others = False
            for name in required:
                if not by_pattern:
                    named.setdefault(name, self._anything())
        if made.get("minProperties", 0) <= len(required):
            made.pop("minProperties", None)
        if others is False and not by_pattern and made.get("maxProperties", 0) >= len(named):
            made.pop("maxProperties", None)
        made["properties"] = named
        if by_pattern:
            made["patternProperties"] = by_pattern
        if required:
            made["required"] = required
        made["additionalProperties"] = (
            False if others is False else self.schema(True if others is None else others)
        )


def _may_close(root: dict[str, Any]) -> bool:
    """Whether objects can be closed: nowhere do two schemas describe one object together."""
    open_schemas: list[Any] = [root]
    aside = keywords.NOTES | {"$defs", "definitions"}
    while open_schemas:
        schema = open_schemas.pop()
        if isinstance(schema, bool):
            continue
        said = [name for name in schema if name not in aside and name[:2] != "x-"]
        if _BRANCHES & set(said) and len(said) > 1:
            return False
        if len(schema.get("allOf", ())) > 1:
            return False
        open_schemas += [below for below, _ in parts(schema, "#")]
    return True
