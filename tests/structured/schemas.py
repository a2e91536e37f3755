"""Schemas that can be held, one a way of saying something, by what they are about."""

from __future__ import annotations

from typing import Any

HELD: dict[str, Any] = {
    "int": {"type": "integer"},
    "num": {"type": "number"},
    "str": {"type": "string"},
    "any": {},
    "obj": {"type": "object"},
    "arr": {"type": "array"},
    "bool": {"type": "boolean"},
    "nul": {"type": "null"},
    "unique": {"type": "array", "uniqueItems": True, "items": {"enum": ["a", 1, 1.0, None, "b"]}},
    "unique2": {
        "type": "array",
        "uniqueItems": True,
        "items": {"$ref": "#/$defs/c"},
        "minItems": 2,
        "maxItems": 3,
        "$defs": {"c": {"type": "string", "enum": ["red", "green", "blue", "grey", 5]}},
    },
    "unique3": {"type": "array", "uniqueItems": True, "items": {"type": ["boolean", "null"]}},
    "unique4": {"type": "array", "uniqueItems": True, "items": {"type": "string"}, "maxItems": 1},
    "unique5": {
        "type": "array",
        "uniqueItems": True,
        "items": {"enum": list(range(40))},
        "maxItems": 2,
    },
    "no properties": {"type": "object", "properties": {}},
    "many": {"type": ["integer", "string", "null"]},
    "numrange": {"type": "number", "minimum": 0.1, "maximum": 3.75},
    "numex": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "numex2": {"type": "number", "exclusiveMinimum": -5.5},
    "numneg": {"type": "number", "maximum": -0.001},
    "numbig": {"type": "number", "minimum": 100000000000.0},
    "numtiny": {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.1000000001},
    "mult": {"type": "integer", "multipleOf": 7},
    "mult2": {"type": "number", "multipleOf": 0.25},
    "mult3": {"type": "number", "multipleOf": 0.5, "minimum": -2, "maximum": 3.5},
    "mult4": {"type": "integer", "multipleOf": 12, "exclusiveMinimum": -100, "maximum": 1000},
    "intneg": {"type": "integer", "exclusiveMaximum": -9007199254740993},
    "intfrac": {"type": "integer", "minimum": 1.5, "maximum": 4.5},
    "int64": {"type": "integer", "format": "int64"},
    "int32": {"type": "integer", "format": "int32"},
    "strlen": {"type": "string", "minLength": 2, "maxLength": 5},
    "pat": {"type": "string", "pattern": "^[^\\W\\d]\\D\\S.\\w\\s$"},
    "pat2": {"type": "string", "pattern": "b[^a]c"},
    "pat3": {"pattern": "x$", "type": "string", "maxLength": 6},
    "pat4": {"type": "string", "pattern": "^a|b$"},
    "pat5": {"type": "string", "pattern": "^\\W+$"},
    "pat6": {"type": "string", "pattern": "^[^\\s]+$"},
    "pat7": {"type": "string", "pattern": "^[\\D]{3}[^\\D]$"},
    "pat8": {"type": "string", "pattern": '^"\\\\\\n/$'},
    "enum": {"enum": ["a", 'é"\n', 1, 1.5, None, True, [1, {"x": []}], 1e22, -0.0, 1.0, "😀", "/"]},
    "const": {"const": {"a": [1, "b", {}]}},
    "enum2": {"type": "string", "enum": ["a", "bb", "cc", 5], "minLength": 2},
    "enum3": {"enum": [1, True, 0, False], "type": "integer"},
    "open": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "additionalProperties": {"type": "integer"},
    },
    "open2": {
        "type": "object",
        "properties": {"a b": {"type": "integer"}, 'ü"': {"type": "string"}},
        "required": ['ü"', "zz"],
    },
    "minp": {"type": "object", "minProperties": 2, "maxProperties": 3},
    "patp": {
        "type": "object",
        "patternProperties": {"^x_": {"type": "integer"}, "^y": {"type": "string", "maxLength": 3}},
    },
    "patp2": {
        "type": "object",
        "properties": {"x_a": {"maximum": 5}},
        "patternProperties": {"^x_": {"type": "integer"}},
        "additionalProperties": {"type": "null"},
    },
    "pn": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{1,9}$"},
        "additionalProperties": {"type": "integer"},
    },
    "pn2": {"type": "object", "propertyNames": {"enum": ["a", "b"]}},
    "prefix": {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "items": False,
        "minItems": 1,
    },
    "prefix2": {
        "type": "array",
        "prefixItems": [{"type": "integer"}],
        "items": {"type": "string"},
        "maxItems": 3,
    },
    "items": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4},
    "allof": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}, "a": {"minimum": 3}}, "required": ["b"]},
        ]
    },
    "allof2": {
        "type": "string",
        "allOf": [{"pattern": "^a"}, {"minLength": 3}, {"format": "hostname"}],
    },
    "anyof": {
        "anyOf": [
            {"type": "integer", "minimum": 5},
            {"type": "string", "maxLength": 2},
            {"type": "null"},
        ]
    },
    "anyof2": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "oneof": {
        "oneOf": [
            {"type": "string"},
            {"type": "integer"},
            {"type": "array", "items": {"type": "boolean"}},
        ]
    },
    "oneof2": {
        "oneOf": [{"$ref": "#/$defs/c"}, {"$ref": "#/$defs/d"}],
        "$defs": {
            "c": {
                "type": "object",
                "properties": {"k": {"const": "c"}, "n": {"type": "integer"}},
                "required": ["k"],
            },
            "d": {"type": "object", "properties": {"k": {"enum": ["d", "e"]}}, "required": ["k"]},
        },
    },
    "tree": {
        "type": "object",
        "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["v"],
    },
    "list": {
        "$ref": "#/$defs/n",
        "$defs": {
            "n": {
                "type": "object",
                "properties": {
                    "v": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]},
                },
                "required": ["v", "next"],
            }
        },
    },
    "refsib": {
        "type": "array",
        "items": {"$ref": "#/$defs/p", "maximum": 10},
        "$defs": {"p": {"type": "integer", "minimum": 1}},
    },
    "untyped": {
        "minLength": 3,
        "maximum": 5,
        "items": {"type": "null"},
        "properties": {"a": {"type": "integer"}},
    },
    "untyped2": {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "untyped3": {"anyOf": [{"minimum": 3}, {"maxLength": 2}]},
    "false": {"type": "object", "properties": {"a": False, "b": {"type": "integer"}}},
    "true": {"type": "array", "items": True, "maxItems": 2},
    "opt unsat": {
        "type": "object",
        "properties": {
            "a": {"type": "string", "pattern": "^a$", "minLength": 3},
            "b": {"type": "integer"},
        },
    },
    "opt unsat3": {
        "type": "array",
        "items": {"type": "integer", "multipleOf": 10, "minimum": 1, "maximum": 9},
    },
    "opt unsat4": {
        "type": "object",
        "properties": {
            "a": {"type": "string", "enum": ["a"], "pattern": "b"},
            "b": {"type": "integer"},
        },
    },
    "opt unsat5": {
        "anyOf": [{"type": "string", "pattern": "^a$", "minLength": 3}, {"type": "integer"}]
    },
    "fpat": {"type": "string", "format": "date", "pattern": "^2"},
    "flen": {"type": "string", "format": "uri", "minLength": 1, "maxLength": 30},
    "fany": {"format": "date"},
    "fl0": {"type": "number", "minimum": 0.123456789012345, "maximum": 0.2345678901234567},
    "fx0": {
        "type": "number",
        "exclusiveMinimum": 0.123456789012345,
        "exclusiveMaximum": 0.2345678901234567,
    },
    "fl1": {"type": "number", "minimum": 0.3333333333333333, "maximum": 0.6666666666666666},
    "fx1": {
        "type": "number",
        "exclusiveMinimum": 0.3333333333333333,
        "exclusiveMaximum": 0.6666666666666666,
    },
    "fl2": {"type": "number", "minimum": -1e-07, "maximum": 1e-07},
    "fx2": {"type": "number", "exclusiveMinimum": -1e-07, "exclusiveMaximum": 1e-07},
    "fl3": {"type": "number", "minimum": -3.14159265358979, "maximum": -3.14159265358978},
    "fx3": {
        "type": "number",
        "exclusiveMinimum": -3.14159265358979,
        "exclusiveMaximum": -3.1415926535897,
    },
    "fl6": {"type": "number", "minimum": 6.81, "maximum": 11.809999999999999},
    "fl7": {"type": "number", "minimum": -10.192580636175059, "maximum": -5.19258063617506},
    "fl4": {"type": "number", "minimum": 123456.789, "maximum": 123456.78901},
    "fx4": {"type": "number", "exclusiveMinimum": 123456.789, "exclusiveMaximum": 123456.78901},
    "fl5": {"type": "number", "minimum": 1e-09, "maximum": 3e-09},
    "fx5": {"type": "number", "exclusiveMinimum": 1e-09, "exclusiveMaximum": 3e-09},
    "minp5": {"type": "object", "minProperties": 5},
    "nestopen": {
        "type": "array",
        "items": {"type": "object", "minProperties": 2, "additionalProperties": {"type": "object"}},
        "minItems": 2,
    },
    "tools-ish": {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 3},
        "propertyNames": {"pattern": "^k[0-9]{1,3}$"},
    },
}
for _format in (
    *("date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"),
    *("ipv4", "ipv6", "uri", "iri", "uri-reference", "iri-reference", "uuid", "uuid4", "uuid7"),
    *("json-pointer", "ipv4network", "ipvanyaddress", "path", "file-path", "directory-path"),
    *("password", "binary"),
):
    HELD[f"format {_format}"] = {"type": "string", "format": _format}
