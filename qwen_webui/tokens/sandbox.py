"""The sandbox a chat template runs in: an allow-list, and a budget for everything that can grow.

A template is a program that came with a download. It may read the conversation and write text,
nothing else; loops, calls, operators and output are counted, so that a hostile one ends in an
error and not in a hang or a full memory. Compiles and runs; template.py makes sense of errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qwen_webui.tokens.budget import MAX_BITS, Budget, TooMuch

BUDGET = "_budget"
# fmt: off
_FILTERS = frozenset((
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
    "int", "items", "last", "length", "list", "lower", "max", "min", "reject", "rejectattr",
    "reverse", "round", "safe", "select", "selectattr", "sort", "string", "sum", "title", "trim",
    "unique", "upper",
))
_TEXT_METHODS = frozenset((
    "capitalize", "count", "endswith", "find", "index", "isalpha", "isdigit", "islower", "isspace",
    "isupper", "join", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rfind",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper",
))
# fmt: on


def _budget(context: Context) -> Budget:
    # `parent` holds what render() was given; a template's own `set` writes elsewhere.
    budget = context.parent[BUDGET]
    assert isinstance(budget, Budget), "rendering goes through ChatTemplate.render"
    return budget


@jinja2.pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    budget = _budget(context)
    for item in items:
        budget.step()
        yield item


@jinja2.pass_context
def _held(context: Context, value: Any) -> Any:
    budget = _budget(context)
    budget.step()
    return budget.hold(value)


@jinja2.pass_context
def _written(context: Context, value: Any) -> Any:
    text = str(value)
    _budget(context).write(len(text))
    return text


@jinja2.pass_context
def _join(context: Context, items: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    if attribute is not None:
        items = [context.environment.getattr(item, str(attribute)) for item in items]
    parts = [str(item) for item in _counted(context, items)]
    total = sum(map(len, parts)) + len(d) * len(parts)
    _budget(context).write(total)
    return d.join(parts)


@jinja2.pass_context
def _replace(context: Context, text: Any, old: str, new: str, count: int = -1) -> str:
    whole = str(text)
    budget = _budget(context)
    budget.step()
    times = whole.count(old) if count < 0 else min(count, whole.count(old))
    budget.write(len(whole) + times * len(new))
    return whole.replace(old, new, count)


def _map(items: Iterable[Any], *, attribute: str, default: Any = "") -> Iterator[Any]:
    """`map(attribute=...)` alone: mapping a filter would do uncounted work."""
    for item in items:
        yield item.get(attribute, default) if isinstance(item, dict) else default


@jinja2.pass_context
def _to_json(
    context: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As `tojson` of transformers: plain JSON, no HTML escapes.

    Private-use characters stay as they are even with `ensure_ascii`: the marks of marks.py are
    among them and must come out of every template.
    """
    if indent is not None and not 0 <= indent <= 16:
        raise TooMuch("it asks for an indent that is too wide")
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys
    )
    if ensure_ascii:
        text = re.sub("[^\x00-\x7f\ue000-\uf8ff]", lambda m: json.dumps(m.group())[1:-1], text)
    _budget(context).step()
    _budget(context).write(len(text))
    return text


def _raise_exception(message: object) -> None:
    raise jinja2.TemplateError(str(message)[:300])


def _strftime_now(form: str) -> str:
    if len(form) > 100:
        raise TooMuch("it asks for a date that is too long")
    return datetime.now().strftime(form)


class _Generation(Extension):
    """`{% generation %}`: marks answers for training; here only its body counts."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own declaration)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """The sandbox of jinja2, with everything that can grow counted."""

    intercepted_binops = frozenset(("+", "-", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # nothing of the template may run while it is compiled
            finalize=_written,
            extensions=[_Generation, "jinja2.ext.loopcontrols"],
        )
        self.filters = {k: v for k, v in self.filters.items() if k in _FILTERS}
        self.filters.update(
            tojson=_to_json,
            map=_map,
            join=_join,
            replace=_replace,
            _counted=_counted,
            _held=_held,
        )
        for name in ("lipsum", "cycler", "joiner"):
            del self.globals[name]
        self.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for output in tree.find_all(nodes.Output):
            # As constants, the template's own words go through `finalize` and are counted too.
            output.nodes = [
                nodes.Const(part.data) if isinstance(part, nodes.TemplateData) else part
                for part in output.nodes
            ]
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None)
        _wrap_concatenations(tree)
        tree.set_environment(self)
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr not in _TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        return None  # `format` is not in the allow-list: one width would fill the memory

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget = _budget(context)
        budget.step()
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str) and obj.__name__ == "replace":
            return _replace(context, owner, *args, **kwargs)
        if isinstance(owner, str) and obj.__name__ == "join":
            return _join(context, args[0] if args else (), owner)
        return budget.hold(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, op: str, left: Any, right: Any) -> Any:
        budget = _budget(context)
        budget.step()
        if op == "%" and isinstance(left, str):
            raise TooMuch("it formats text with %")
        if op == "**" and isinstance(right, int) and right > MAX_BITS:
            raise TooMuch("it computes a number that is too large")
        if op == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    budget.write(len(many) * max(0, times))
        return budget.hold(self.binop_table[op](left, right))


def _wrap_concatenations(node: nodes.Node) -> None:
    """Put every `a ~ b` below `node` through `_held`."""
    for name, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, name, [_wrapped(item) for item in value])
        else:
            setattr(node, name, _wrapped(value))


def _wrapped(value: Any) -> Any:
    if not isinstance(value, nodes.Node):
        return value
    _wrap_concatenations(value)
    if isinstance(value, nodes.Concat):
        return nodes.Filter(value, "_held", [], [], None, None, lineno=value.lineno)
    return value
