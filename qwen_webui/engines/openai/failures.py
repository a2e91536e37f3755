"""What goes wrong on the way to another server, and what that server refuses, in our errors.

The one place where httpx's errors are known. Never an address: who reads an error need not know
where the engine is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from qwen_webui.errors import (
    ContextLengthExceeded,
    DeviceUnusable,
    EngineCrashed,
    EngineTimeout,
    GenerationFailed,
    InvalidRequest,
    ModelSwitching,
    OutOfMemory,
    Overloaded,
    Unavailable,
    WebUIError,
)

MAX_SHOWN = 500
GONE = (
    "The server that computes does not answer or hung up. Send the request again when it is back."
)
UNREADABLE = (
    "The server that computes answered in a form that is not that of OpenAI's API. Check "
    "--engine-url; it usually ends in /v1."
)
_KNOWN: tuple[type[WebUIError], ...] = (
    ContextLengthExceeded,
    EngineCrashed,
    EngineTimeout,
    ModelSwitching,
    OutOfMemory,
    Overloaded,
)
_OUR_NAMES: Mapping[str, str] = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "top_logprobs": "logprobs",
    "response_format": "constraint",
}
# As vLLM, llama-server and others word it, none of them with OpenAI's code.
_TOO_LONG = ("context length", "context size", "exceed_context_size", "maximum model length")


@contextmanager
def translated() -> Iterator[None]:
    """Let no error of httpx, and none of reading what came, out."""
    try:
        yield
    except httpx.ReadTimeout as error:
        raise EngineTimeout(
            "The server that computes gave no sign of life for too long. Send the request again."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise EngineCrashed(GONE) from error


@contextmanager
def read() -> Iterator[None]:
    """Around the reading of an answer's fields: whatever is not as it should be is one error."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise GenerationFailed(UNREADABLE) from error


def refusal(status: int, body: bytes, retry_after: str | None = None) -> WebUIError:
    """The error for a response that is none of success."""
    told = _told(body)
    if 300 <= status < 400:
        return DeviceUnusable(
            "The server that computes answered with a redirect, which is not followed. Give the "
            "address it redirects to as --engine-url."
        )
    if status in (401, 403):
        return DeviceUnusable(
            "The server that computes refuses the key, or asks for one. Set it with --engine-key."
        )
    if status == 429:
        seconds = int(retry_after) if retry_after and retry_after.isdigit() else 1
        return Overloaded(_sentence("has too much to do", told), retry_after=seconds)
    return of_error(told, status)


def of_error(told: Mapping[str, Any], status: int = 500) -> WebUIError:
    """The error for what a server says in an error object."""
    code, message = told.get("code"), str(told.get("message") or "")
    param = told.get("param")
    param = _OUR_NAMES.get(param, param) if isinstance(param, str) else None
    if any(words in f"{message} {told.get('type')}".lower() for words in _TOO_LONG):
        code = ContextLengthExceeded.code
    for kind in _KNOWN:
        if code == kind.code:
            return kind(_sentence("did not answer", told), param=param)
    if status == 404:
        return EngineCrashed(_sentence("does not have the model any more", told))
    own = str(code) if isinstance(code, str) and code else None
    if status < 500:
        return InvalidRequest(_sentence("refused the request", told), code=own, param=param)
    if status == 503:
        return Unavailable(_sentence("cannot answer now", told), retry_after=1)
    kept = own if own == "invalid_output" else None
    return GenerationFailed(_sentence("failed on the request", told), code=kept)


def _told(body: bytes) -> Mapping[str, Any]:
    """The error object in a body: OpenAI's form, or vLLM's older one without `error`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    found = value.get("error", value) if isinstance(value, dict) else value
    return found if isinstance(found, dict) else {"message": found}


def _sentence(what: str, told: Mapping[str, Any]) -> str:
    message = " ".join(str(told.get("message") or "").split())[:MAX_SHOWN]
    return f"The server that computes {what}: {message or 'it does not say why.'}"
