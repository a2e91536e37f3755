"""The messages of a chat as OpenAI's clients send them, and our messages made of them.

The template has no ids for calls: results are put in the order of their calls here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from qwen_webui.api.wire import Strict
from qwen_webui.errors import InvalidRequest
from qwen_webui.types import Message, ToolCall

NO_NAME = Field(None, description="Not supported: the chat template has no place for it.")
EMPTY = Annotated[list[Any], Field(max_length=0)]


class TextPart(Strict):
    """The only kind of part: images, sound and files are refused."""

    type: Literal["text"]
    text: str


def _form(content: object) -> str:
    return "parts" if isinstance(content, list) else "text"


Content = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[
        list[TextPart], Tag("parts"), Field(min_length=1, description="Joined as they are")
    ],
    Discriminator(_form),
]


class SystemMessage(Strict):
    """`developer` means the same as `system`."""

    role: Literal["system", "developer"]
    content: Content
    name: None = NO_NAME


class UserMessage(Strict):
    """What a person says."""

    role: Literal["user"]
    content: Content
    name: None = NO_NAME


class CalledFunction(Strict):
    """`arguments` is the text of a JSON object, as the model wrote it."""

    name: str
    arguments: str


class Call(Strict):
    """A call of a tool in an answer before."""

    id: Annotated[str, Field(min_length=1)]
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(Strict):
    """An answer before, as this API gave it: text, calls or both. Its other fields are null."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[Call] | None = None
    refusal: None = None
    annotations: EMPTY | None = None
    audio: None = None
    function_call: None = Field(None, description="Not supported: use tool_calls.")
    name: None = NO_NAME


class ToolMessage(Strict):
    """What a tool gave back for the call of the same id."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str
    name: str | None = Field(None, description="If given, the name of the function that was called")


ChatMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


def conversation(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Our messages. Raises InvalidRequest for calls and results that do not belong together."""
    return tuple(_converted(messages))


def _converted(messages: Sequence[ChatMessage]) -> Iterator[Message]:
    open_calls: dict[str, Call] = {}
    results: dict[str, Message] = {}
    for place, message in enumerate(messages):
        at = f"messages[{place}]"
        if isinstance(message, ToolMessage):
            call = _answered(message, open_calls, results, at)
            results[call] = Message("tool", text_of(message.content))
            if len(results) == len(open_calls):
                yield from (results[id] for id in open_calls)
                open_calls, results = {}, {}
            continue
        _refuse_open(open_calls, results, at)
        if isinstance(message, AssistantMessage):
            calls = message.tool_calls or []
            open_calls = {call.id: call for call in calls}
            if len(open_calls) < len(calls):
                raise InvalidRequest(
                    f"{at}.tool_calls has an id twice; each call needs its own.",
                    param=f"{at}.tool_calls",
                )
            yield _said(message, at)
        else:
            role: Literal["system", "user"] = "user" if message.role == "user" else "system"
            yield Message(role, text_of(message.content))
    _refuse_open(open_calls, results, f"messages[{len(messages)}]")


def text_of(content: str | list[TextPart] | None) -> str:
    """The text of a message."""
    if isinstance(content, list):
        return "".join(part.text for part in content)
    return content or ""


def _said(message: AssistantMessage, at: str) -> Message:
    if message.content is None and not message.tool_calls:
        raise InvalidRequest(
            f"{at} has neither content nor tool_calls; an assistant's message needs one of them.",
            param=f"{at}.content",
        )
    calls = tuple(
        ToolCall(call.function.name, _arguments(call, f"{at}.tool_calls[{place}]"))
        for place, call in enumerate(message.tool_calls or ())
    )
    return Message("assistant", text_of(message.content), calls)


def _arguments(call: Call, at: str) -> dict[str, Any]:
    try:
        value = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"{at}.function.arguments is not the text of a JSON object.",
            param=f"{at}.function.arguments",
        )
    return value


def _answered(
    message: ToolMessage, open_calls: dict[str, Call], results: dict[str, Message], at: str
) -> str:
    """The id of the call that `message` answers."""
    call = open_calls.get(message.tool_call_id)
    if call is None or call.id in results:
        raise InvalidRequest(
            f"{at}.tool_call_id names no call that waits for a result. A tool message must follow "
            "the assistant's message with the call of that id in its tool_calls.",
            param=f"{at}.tool_call_id",
        )
    if message.name not in (None, call.function.name):
        raise InvalidRequest(
            f"{at}.name is not the function that was called, {call.function.name[:100]!r}.",
            param=f"{at}.name",
        )
    return call.id


def _refuse_open(open_calls: dict[str, Call], results: dict[str, Message], at: str) -> None:
    missing = [id for id in open_calls if id not in results]
    if missing:
        raise InvalidRequest(
            f"A tool message for the call {missing[0][:100]!r} is missing before {at}: every call "
            "in an assistant's message needs its result.",
            param="messages",
        )
