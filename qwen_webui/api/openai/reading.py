"""Bodies of /v1 in, and refusals in OpenAI's words and codes. Knows no field by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from qwen_webui.api.wire import (
    MOST_PROBLEMS,
    SHOWN_LETTERS,
    Strict,
    fields_of,
    json_content,
    nested_too_deep,
)
from qwen_webui.errors import ContextLengthExceeded, InvalidRequest

UNKNOWN = "unknown_parameter"
UNSUPPORTED = "unsupported_parameter"
NO_SUCH_VALUE = "unsupported_value"
# Every other kind of pydantic's problems is an invalid_value.
CODES = {"extra_forbidden": UNKNOWN, "missing": "missing_required_parameter"}


class OpenAIBody(Strict):
    """A body of /v1. `refused` names its fields that OpenAI knows and this server does not serve,
    each with what to do instead; values that change nothing are taken all the same."""

    refused: ClassVar[Mapping[str, str]] = {}


Body = TypeVar("Body", bound=OpenAIBody)


async def read_openai_body(request: Request, kind: type[Body]) -> Body:
    """The request's body as `kind`. Raises InvalidRequest that names the first field at fault."""
    content = await json_content(request)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        if (deep := nested_too_deep(error, content)) is not None:
            raise deep from None
        if error.error_count() > MOST_PROBLEMS:
            raise InvalidRequest(
                f"The body has {error.error_count()} wrong fields or values; known fields are "
                f"{', '.join(fields_of(kind))}.",
                code=UNKNOWN,
            ) from None
        problems = error.errors(include_url=False, include_context=False)
        raise _refusal(problems[0], content, kind) from None


@contextmanager
def in_openai_words(names: Mapping[str, str]) -> Iterator[None]:
    """Errors from further inside, with the fields called as the client did: `names` maps our
    names to the body's."""
    try:
        yield
    except InvalidRequest as error:
        code = "invalid_value" if error.code == InvalidRequest.code else error.code
        ours = error.param or ("prompt" if isinstance(error, ContextLengthExceeded) else None)
        theirs = names.get(ours, ours) if ours else None
        message = error.message
        if ours and theirs and "_" in ours:
            message = message.replace(ours, theirs)
        raise type(error)(
            message, code=code, param=theirs, retry_after=error.retry_after
        ) from error


def _refusal(problem: ErrorDetails, content: bytes, kind: type[OpenAIBody]) -> InvalidRequest:
    place = _place(problem, content)
    top = str(problem["loc"][0]) if problem["loc"] else None
    code = CODES.get(problem["type"], "invalid_value")
    if top is None:
        return InvalidRequest(f"The body cannot be read: {problem['msg']}.", code=code)
    if code == UNKNOWN:
        known = f" Known are {', '.join(fields_of(kind))}." if place == top else ""
        message = f"There is no parameter {place}; remove it.{known}"
    elif code == CODES["missing"]:
        message = f"The parameter {place} is missing."
    elif top in kind.refused:
        code = UNSUPPORTED
        message = f"{place} is not supported by this server: {kind.refused[top]}"
    elif problem["type"] == "none_required":
        code = UNSUPPORTED
        message = f"{place} is not supported by this server; leave it out."
    elif problem["type"] == "literal_error" and place.endswith(".type"):
        code = NO_SUCH_VALUE
        given = str(problem["input"])[:SHOWN_LETTERS]
        message = f"{place} is {given!r}, which is not supported. {problem['msg']}."
    else:
        message = f"{place}: {problem['msg']}."
    return InvalidRequest(message, code=code, param=place)


def _place(problem: ErrorDetails, content: bytes) -> str:
    """Where the problem stands, `messages[0].content` for example: pydantic's place without the
    names of union members, which mean nothing to a client."""
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    path = ""
    last = len(problem["loc"]) - 1
    for place, step in enumerate(problem["loc"]):
        if isinstance(step, int):
            path += f"[{step}]"
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif isinstance(value, dict) and step in value:
            path += f".{step}"
            value = value[step]
        elif problem["type"] == "missing" and place == last:
            path += f".{step}"
    return path.removeprefix(".")[:SHOWN_LETTERS]
