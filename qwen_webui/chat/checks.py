"""What of a turn or an ask is refused before anything is counted.

Values that no checkpoint could take. What the loaded one's template and context take is found out
later, and whether a schema can be held is structured/'s to say.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwen_webui.errors import InvalidRequest
from qwen_webui.limits import check_sampling
from qwen_webui.types import Ask, ChatTurn, Message, Sampling

MODES = ("none", "auto", "required")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_turn(turn: ChatTurn) -> None:
    """Raise InvalidRequest for a text, a tool or a sampling value that cannot be used."""
    if not turn.text.strip():
        raise InvalidRequest("The text is empty. Write something.", param="prompt")
    _check_text(turn.text, "prompt")
    _check_text(turn.system or "", "system")
    _check_tools(turn.tools)
    _check_sampling(turn.sampling, turn.tools)


def check_ask(ask: Ask) -> None:
    """Raise InvalidRequest for messages, a prompt, tools or sampling that cannot be used."""
    if ask.prompt is not None:
        _check_prompt(ask)
    elif not ask.messages:
        raise InvalidRequest("There is no message. Send at least one.", param="messages")
    elif ask.messages[-1].role == "assistant":
        raise InvalidRequest(
            "The last message is the assistant's, and there is nothing to answer. Add a message "
            "of the user or of a tool. To let the model continue a text, send it as a raw prompt.",
            param="messages",
        )
    for place, message in enumerate(ask.messages):
        at = f"messages[{place}]"
        _check_text(message.content, f"{at}.content")
        for number, call in enumerate(message.tool_calls):
            _check_text("".join((call.name, *_texts(call.arguments))), f"{at}.tool_calls[{number}]")
    _check_tools(ask.tools)
    _check_choice(ask)
    _check_sampling(ask.sampling, ask.tools if ask.tool_choice != "none" else ())


def repair(text: str) -> str:
    """`text` with NUL and half surrogate pairs marked U+FFFD."""
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def repaired(message: Message) -> Message:
    """`message` with its text repaired: what a person types now is refused, but what was said
    before must not end the conversation."""
    content = repair(message.content)
    return message if content == message.content else dataclasses.replace(message, content=content)


def _check_text(text: str, param: str) -> None:
    if repair(text) != text:
        raise InvalidRequest(
            "The text holds a NUL character or half of a surrogate pair, which no text can"
            " hold. Remove it, or save the source as UTF-8.",
            param=param,
        )


def _check_prompt(ask: Ask) -> None:
    if ask.messages or ask.tools:
        raise InvalidRequest(
            "A raw prompt goes to the model as it is, without messages or tools. Send one or the "
            "other.",
            param="prompt",
        )
    if not ask.prompt:
        raise InvalidRequest("The prompt is empty. Write something.", param="prompt")
    if isinstance(ask.prompt, str):
        _check_text(ask.prompt, "prompt")


def _check_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    names: set[str] = set()
    for place, tool in enumerate(tools):
        at = f"tools[{place}]"
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, Mapping):
            raise InvalidRequest(
                f'{at} is not {{"type": "function", "function": {{"name": ..., "parameters": '
                "...}}}. Only functions can be called.",
                param=at,
            )
        name = function.get("name")
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise InvalidRequest(
                f"{at}.function.name is not a name of 1 to 64 letters (a to z), digits, "
                "underscores and hyphens. Name it so.",
                param=f"{at}.function.name",
            )
        if name in names:
            raise InvalidRequest(
                f"tools has the function {name!r} twice. Give each its own name.",
                param=f"{at}.function.name",
            )
        names.add(name)
        if not isinstance(function.get("parameters", {}), Mapping):
            raise InvalidRequest(
                f"{at}.function.parameters is not a JSON Schema, which is an object. Correct it "
                "or leave it out.",
                param=f"{at}.function.parameters",
            )


def _check_choice(ask: Ask) -> None:
    choice = ask.tool_choice
    if choice == "required" and not ask.tools:
        raise InvalidRequest(
            "tool_choice is required, but there are no tools to choose from. Send tools.",
            param="tool_choice",
        )
    names = [tool["function"]["name"] for tool in ask.tools]
    if choice not in (*MODES, *names):
        raise InvalidRequest(
            f"tool_choice names {choice[:100]!r}, which is not in tools. Name one of them, or one "
            f"of {', '.join(MODES)}.",
            param="tool_choice",
        )


def _check_sampling(sampling: Sampling, tools: Sequence[Mapping[str, Any]]) -> None:
    check_sampling(sampling)
    if sampling.constraint is None:
        return
    if sampling.constraint.kind == "tools":
        raise InvalidRequest(
            "Tools are offered as tools, not as a constraint. Send them in the field `tools`.",
            param="constraint",
        )
    if tools:
        raise InvalidRequest(
            "A constraint and tools cannot be combined: an answer is either of that form, or text "
            "with calls. Send one of them.",
            param="tools",
        )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
