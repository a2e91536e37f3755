"""Tool calls in the Hermes form of Qwen's chat template, as a grammar.

    text<tool_call>
    {"name": "get_time", "arguments": {"city": "Oslo"}}
    </tool_call>

Free text cannot hold the opening mark except before a real call, calls follow each other on a new
line, and after the last one the answer ends. The marks are plain text here; read_vocabulary makes
them plain where they are tokens of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from qwen_webui.errors import SchemaRefused
from qwen_webui.structured.reading import read_schema_text
from qwen_webui.structured.rewrite import Rewriting
from qwen_webui.structured.values import Problem, shown, step
from qwen_webui.structured.walk import problems_of
from qwen_webui.types import Constraint

OPENING = "<tool_call>"
CLOSING = "</tool_call>"
MAX_TOOLS = 128
_CALLS = r"""start: {start}
calls: "<tool_call>" call{more}
more: "\n<tool_call>" call
call: "\n" object "\n</tool_call>"
head[lazy]: /(?s:.*)<tool_call>/
TEXT: /(?s:.*)/ & ~/(?s:.*)<tool_call>(?s:.*)/
object: %json {schema}
"""


@dataclass(frozen=True)
class Tool:
    """A function by name, with the schema of its arguments and where that stands."""

    name: str
    parameters: dict[str, Any]
    place: str


def lark(constraint: Constraint) -> str:
    """The grammar. Raises SchemaRefused."""
    tools, choice, parallel = read_tools(constraint)
    table = Rewriting()
    calls = [_call(tool, table) for tool in tools]
    schema = table.joined(calls[0] if len(calls) == 1 else {"anyOf": calls})
    more = " more*" if parallel else ""
    start = f"TEXT | head call{more}" if choice == "auto" else "calls"
    made = _CALLS.replace("{start}", start).replace("{more}", more)
    if choice == "auto":
        made = "\n".join(line for line in made.split("\n") if not line.startswith("calls:"))
    else:
        dropped = ("head[lazy]:", "TEXT:")
        made = "\n".join(line for line in made.split("\n") if not line.startswith(dropped))
    if not parallel:
        made = "\n".join(line for line in made.split("\n") if not line.startswith("more:"))
    return made.replace("{schema}", json.dumps(schema))


def read_tools(constraint: Constraint) -> tuple[list[Tool], str, bool]:
    """The tools that may be called, the choice, whether more than once. Raises SchemaRefused."""
    value = read_schema_text(constraint.value)
    if isinstance(value, Problem):
        raise SchemaRefused(value.sentence, code=value.code, param=value.place)
    if not isinstance(value, dict) or not isinstance(value.get("tools"), list):
        raise SchemaRefused("`tools` must be a list of functions. Write one.", param="tools")
    listed = value["tools"]
    if not 0 < len(listed) <= MAX_TOOLS:
        raise SchemaRefused(
            f"There are {len(listed)} tools; 1 to {MAX_TOOLS} are taken.", param="tools"
        )
    tools = [_tool(item, step("tools", number)) for number, item in enumerate(listed)]
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SchemaRefused(
            f"Two tools are named {shown(twice)}. Give each its own name.", param="tools"
        )
    choice = value.get("choice", "auto")
    if choice not in ("auto", "required"):
        tools = [tool for tool in tools if tool.name == choice]
        if not tools:
            raise SchemaRefused(
                f"No tool is named {shown(choice)}. Name one of: {shown(', '.join(names))}.",
                param="tool_choice",
            )
    for tool in tools:
        for problem in problems_of(tool.parameters):
            place = tool.place + problem.place.removeprefix("#")
            raise SchemaRefused(
                f"{problem.sentence} It stands at {place}.", code=problem.code, param=place
            )
    return tools, str(choice), bool(value.get("parallel", True))


def _tool(item: Any, place: str) -> Tool:
    function = item.get("function", item) if isinstance(item, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if function is None or not isinstance(name, str) or not name or not name.isprintable():
        raise SchemaRefused(
            'A tool must be {"type": "function", "function": {"name": ..., "parameters": ...}} '
            "with a name. Correct it.",
            param=place,
        )
    inside = step(place, "function") if "function" in item else place
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    if not isinstance(parameters, dict):
        raise SchemaRefused(
            f"The parameters of {shown(name)} must be a JSON Schema object. Correct them.",
            param=step(inside, "parameters"),
        )
    return Tool(name, parameters, step(inside, "parameters"))


def _call(tool: Tool, table: Rewriting) -> dict[str, Any]:
    arguments = table.add(tool.parameters)
    if "type" not in tool.parameters:
        arguments = {"allOf": [{"type": "object"}, arguments]}
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
