"""What a constraint changes about a request: its system message, its sampling, its tools.

Grammars and schemas are structured/'s, masks are the engine's.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen_webui.errors import ContextLengthExceeded, InvalidRequest, SchemaRefused
from qwen_webui.structured import Structured, instruction
from qwen_webui.types import Constraint, EngineInfo, Message, Sampling, ToolChoice

_TOOL_PLACE = re.compile(r"#?/?\btools/(\d+)(/function)?(/parameters)?")


def tools_constraint(
    tools: Sequence[Mapping[str, Any]], choice: ToolChoice, parallel: bool
) -> Constraint:
    """For text or calls of `tools`."""
    value = {"tools": list(tools), "choice": choice, "parallel": parallel}
    return Constraint("tools", json.dumps(value, ensure_ascii=False))


def constrained(sampling: Sampling, constraint: Constraint) -> Sampling:
    """`sampling` for an answer of that form. Braces and names must be repeated, so the
    checkpoint's repetition penalty does not count; one that was asked for does."""
    if sampling.stop and constraint.kind != "tools":
        raise InvalidRequest(
            "Stop strings cannot be combined with a constraint: they could cut the answer before "
            "it is valid. Leave one of them out.",
            param="stop",
        )
    penalty = sampling.repetition_penalty
    return dataclasses.replace(
        sampling, constraint=constraint, repetition_penalty=1.0 if penalty is None else penalty
    )


def instructed(messages: Sequence[Message], constraint: Constraint | None) -> tuple[Message, ...]:
    """`messages` with what the model must know of the constraint joined to the system message
    they begin with, or as one of its own."""
    line = instruction(constraint) if constraint is not None else ""
    if not line or any(m.role == "system" and m.content.endswith(line) for m in messages[:1]):
        return tuple(messages)  # another of these programs, whose engine this one is, said it
    if not messages or messages[0].role != "system":
        return (Message("system", line), *messages)
    first = messages[0]
    text = f"{first.content}\n\n{line}" if first.content else line
    return (dataclasses.replace(first, content=text), *messages[1:])


@contextmanager
def form_counted(constraint: Constraint | None) -> Iterator[None]:
    """A prompt that is too long says that the form is part of it, where the model is told of it."""
    try:
        yield
    except ContextLengthExceeded as error:
        if constraint is None or constraint.kind == "regex":
            raise
        message = f"{error.message} The schema, choices or tools count too: the model is told them."
        raise ContextLengthExceeded(message, param=error.param) from error


async def needed_tokens(structured: Structured, constraint: Constraint, info: EngineInfo) -> int:
    """Of the shortest answer with the loaded checkpoint; 0 when it is not known. Raises
    SchemaRefused for a constraint that cannot be held."""
    folder = info.checkpoint.folder
    try:
        prepared = await structured.prepare(constraint, Path(folder) if folder else None)
    except SchemaRefused as error:
        if constraint.kind != "tools":
            raise
        raise SchemaRefused(
            _TOOL_PLACE.sub(_in_fields, error.message),
            code=error.code,
            param=_TOOL_PLACE.sub(_in_fields, error.param or "tools"),
        ) from error
    return prepared.needed_tokens or 0


def _in_fields(found: re.Match[str]) -> str:
    """A place among the tools as the request's fields are named."""
    inner = "".join(part.replace("/", ".") for part in found.groups("")[1:])
    return f"tools[{found[1]}]{inner}"
