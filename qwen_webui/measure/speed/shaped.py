"""Makes dataclasses of plain JSON values, and refuses every value that is not of its field's type.

Knows the types that reports are made of, and no others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def shaped(kind: type[T], value: object) -> T:
    """`value` as a `kind`. Raises ValueError naming what is wrong."""
    return cast(T, _shaped(kind, value, kind.__name__))


def _shaped(kind: Any, value: object, at: str) -> object:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, at)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        if value is None and NoneType in inner:
            return None
        return _shaped(next(one for one in inner if one is not NoneType), value, at)
    if origin is tuple and isinstance(value, list):
        return tuple(_shaped(inner[0], one, at) for one in value)
    if origin is Mapping and isinstance(value, dict):
        return {_shaped(str, k, at): _shaped(str, v, at) for k, v in value.items()}
    if kind is float and type(value) in (int, float):
        return _finite(cast(float, value), at)
    if origin is None and type(value) is kind:
        return value
    raise ValueError(f"{at} is not what it should be")


def _dataclass(kind: type[Any], value: object, at: str) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"{at} is not what it should be")
    types = get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    if unknown := sorted(map(str, set(value) - names)):
        raise ValueError(f"{at} has a field {unknown[0][:40]!r} that reports do not have")
    return kind(**{name: _shaped(types[name], value[name], name) for name in value})


def _finite(value: float, at: str) -> float:
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{at} is no finite number")
    return found
