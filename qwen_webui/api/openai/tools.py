"""Tools and answer formats as OpenAI's clients send them, and what they mean for an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from qwen_webui.api.wire import Strict
from qwen_webui.chat.checks import MODES
from qwen_webui.errors import InvalidRequest
from qwen_webui.types import Constraint

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
NO_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
ALWAYS_STRICT = "Any value: every answer keeps to the schema"


class Function(Strict):
    """`parameters` is a JSON Schema; without it the function takes none."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = Field(None, description=ALWAYS_STRICT)


class Tool(Strict):
    """A function that the model may ask for."""

    type: Literal["function"]
    function: Function


class NamedFunction(Strict):
    """One of `tools`."""

    name: str


class NamedTool(Strict):
    """Exactly this function is called."""

    type: Literal["function"]
    function: NamedFunction


def _form(choice: object) -> str:
    return "mode" if isinstance(choice, str) else "named"


Choice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")]
    | Annotated[NamedTool, Tag("named")],
    Discriminator(_form),
]


class TextFormat(Strict):
    """The default."""

    type: Literal["text"]


class ObjectFormat(Strict):
    """Any JSON object. Tell the model in a message what to write."""

    type: Literal["json_object"]


class NamedSchema(Strict):
    """A JSON Schema that every answer validates against, whatever `strict` says."""

    name: Name = Field(description="A label, without effect on the answer")
    description: str | None = Field(None, description="Told to the model with the schema")
    schema_: dict[str, Any] = Field(alias="schema", description="The JSON Schema")
    strict: bool | None = Field(None, description=ALWAYS_STRICT)


class SchemaFormat(Strict):
    """JSON of a shape of your own."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


Format = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


class StructuredOutputs(Strict):
    """Exactly one of them, with the names that vLLM gives them."""

    json_: dict[str, Any] | None = Field(None, alias="json", description="A JSON Schema")
    json_object: Literal[True] | None = Field(None, description="Any JSON object")
    regex: str | None = Field(None, description="What the whole answer matches")
    choice: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="The answer is one of these texts"
    )

    def constraint(self) -> Constraint:
        """What it asks for. Raises InvalidRequest for none or several."""
        asked: list[Constraint] = []
        if self.json_ is not None:
            schema = json.dumps(self.json_, ensure_ascii=False)
            asked.append(Constraint("json_schema", schema))
        if self.json_object:
            asked.append(Constraint("json_object"))
        if self.regex is not None:
            asked.append(Constraint("regex", self.regex))
        if self.choice is not None:
            asked.append(Constraint("choice", json.dumps(self.choice, ensure_ascii=False)))
        if len(asked) != 1:
            raise InvalidRequest(
                f"structured_outputs holds {len(asked)} forms; send exactly one of json, "
                "json_object, regex and choice.",
                param="structured_outputs",
            )
        return asked[0]


def constraint_of(format: TextFormat | ObjectFormat | SchemaFormat | None) -> Constraint | None:
    """What the answer must keep to."""
    if isinstance(format, SchemaFormat):
        named = format.json_schema
        schema = dict(named.schema_)
        if named.description:
            schema.setdefault("description", named.description)
        return Constraint("json_schema", json.dumps(schema, ensure_ascii=False))
    return Constraint("json_object") if isinstance(format, ObjectFormat) else None


def offered(tools: Sequence[Tool]) -> tuple[dict[str, Any], ...]:
    """As chat templates show them. Raises InvalidRequest for a name given twice."""
    names = [tool.function.name for tool in tools]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InvalidRequest(
                f"tools has the function {name!r} twice.", param=f"tools[{place}].function.name"
            )
    return tuple(_shown(tool.function) for tool in tools)


def chosen(choice: str | NamedTool | None, tools: Sequence[Tool]) -> str:
    """The choice as Ask has it. Raises InvalidRequest for one that cannot be met."""
    if isinstance(choice, NamedTool):
        name = choice.function.name
        if name not in [tool.function.name for tool in tools]:
            raise InvalidRequest(
                f"tool_choice names {name[:100]!r}, which is not in tools.", param="tool_choice"
            )
        if name in MODES:
            raise InvalidRequest(
                f"A function called {name!r} cannot be chosen by name; call it otherwise.",
                param="tool_choice",
            )
        return name
    if choice == "required" and not tools:
        raise InvalidRequest(
            "tool_choice is required, but there are no tools to choose from.", param="tool_choice"
        )
    return choice or "auto"


def _shown(function: Function) -> dict[str, Any]:
    told: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        told["description"] = function.description
    told["parameters"] = dict(function.parameters or NO_PARAMETERS)
    return {"type": "function", "function": told}
