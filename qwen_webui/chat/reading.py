"""What an engine's events become on their way to the caller, and the check at the end.

Text with calls becomes text and calls; an answer of a form that was asked for is checked whole.
Nothing is asked of an engine here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from qwen_webui.chat.tool_calls import ToolCallParser
from qwen_webui.errors import GenerationFailed
from qwen_webui.structured import Structured
from qwen_webui.types import Constraint, Finished, GenerationEvent, TextDelta


class AnswerReader:
    """Reads one answer of the form that `constraint` asks for, or of none."""

    def __init__(self, constraint: Constraint | None, structured: Structured) -> None:
        self._constraint = constraint
        self._structured = structured
        self._text: list[str] = []
        self._parameters: dict[str, str] = {}
        self._must_call = False
        self._parser: ToolCallParser | None = None
        if constraint is not None and constraint.kind == "tools":
            self._read_tools(constraint)

    def push(self, event: GenerationEvent) -> Iterator[GenerationEvent]:
        """What the caller is told."""
        if self._parser is not None and isinstance(event, TextDelta):
            yield from self._parser.push(event)
            return
        if self._constraint is not None and isinstance(event, TextDelta):
            self._text.append(event.text)
        yield event

    def rest(self, finished: Finished) -> Iterator[GenerationEvent]:
        """What was held back."""
        if self._parser is not None:
            yield from self._parser.finish(cut=finished.reason == "length")

    async def checked(self, finished: Finished) -> Finished:
        """The end, once the whole answer is checked. Raises GenerationFailed (invalid_output)."""
        if self._parser is not None:
            return await self._checked_calls(self._parser, finished)
        if self._constraint is not None:
            await self._check(self._constraint, "".join(self._text), finished)
        return finished

    def _read_tools(self, constraint: Constraint) -> None:
        value = json.loads(constraint.value)
        for tool in value["tools"]:
            function = tool["function"]
            parameters = function.get("parameters")
            self._parameters[function["name"]] = json.dumps(parameters) if parameters else ""
        choice = value["choice"]
        self._must_call = choice != "auto"
        named = choice not in ("auto", "required")
        self._parser = ToolCallParser([choice] if named else list(self._parameters))

    async def _checked_calls(self, parser: ToolCallParser, finished: Finished) -> Finished:
        for call in parser.calls:
            if schema := self._parameters[call.name]:
                await self._check(Constraint("json_schema", schema), call.arguments, finished)
        if parser.begun > len(parser.calls):
            return finished  # cut in a call, and its length says so
        if parser.calls:
            return dataclasses.replace(finished, reason="tool_calls")
        if self._must_call:
            raise GenerationFailed(
                "The model was to call a tool and did not. Send the request again.",
                code="invalid_output",
            )
        return finished

    async def _check(self, constraint: Constraint, text: str, finished: Finished) -> None:
        try:
            await self._structured.check(constraint, text)
        except GenerationFailed as error:
            if finished.reason != "length" or error.code != "invalid_output":
                raise
            raise GenerationFailed(
                f"The answer reached its length of {finished.usage.completion_tokens} tokens "
                "before it had the form that was asked for. Ask for a larger max_new_tokens.",
                code="invalid_output",
            ) from error
