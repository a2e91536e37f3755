"""Looks at what is sent to Gradio's own event routes before Gradio does.

Bodies that are no event are refused in a sentence, and a tab belongs to the visitor who used it
first: whoever else knows its name can neither hear it nor stop it. Handles no event.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen_webui.errors import InvalidRequest, NotFound
from qwen_webui.ui.visitor import OWNER_COOKIE

EVENTS, BEAT = "/gradio_api/", "/gradio_api/heartbeat/"
# Events that do not stand in Gradio's line, Stop for one, are sent to addresses of their own.
AT_ONCE = "/gradio_api/run/"
# Those that take a body, and what Gradio would take for granted in it.
JOIN, CANCEL, RESET = (EVENTS + name for name in ("queue/join", "cancel", "reset"))
BODIES: dict[str, tuple[str, ...]] = {
    JOIN: ("fn_index", "session_hash", "data"),
    CANCEL: ("fn_index", "session_hash", "event_id"),
    RESET: ("event_id",),
}
# The page's own names of tabs have about eleven letters.
LONGEST_NAME = 128
# Each takes about 200 bytes; open tabs move to the end with every event.
TABS_KNOWN = 20_000
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:|\s*//")
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class EventGuard:
    """Wraps the application. `events` has the number of every handler that there is, and how many
    values it takes; `tab_of` tells which tab a running event belongs to."""

    def __init__(
        self, app: ASGIApp, events: Mapping[int, int], tab_of: Callable[[str], str | None]
    ) -> None:
        self._app = app
        self._events = events
        self._tab_of = tab_of
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith(EVENTS):
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._checked(scope, receive)
        except InvalidRequest as error:
            await JSONResponse(error.as_dict(), error.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        path = scope["path"]
        names = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [])
        if path.startswith(BEAT):
            names.append(path.removeprefix(BEAT))
        kind = JOIN if path.startswith(AT_ONCE) else path
        if scope["method"] == "POST" and kind in BODIES:
            body = await _whole(receive)
            names += self._tabs(_values(body), BODIES[kind])
            receive = _again(body, receive)
        for name in names:
            self._admit(name, scope)
        return receive

    def _tabs(self, values: dict[str, Any], fields: tuple[str, ...]) -> list[str]:
        """The tab that an event names. Raises InvalidRequest for what is no event."""
        if "fn_index" in fields:
            number = values.get("fn_index")
            if type(number) is not int or number not in self._events:
                raise InvalidRequest("The page has no such event. Reload it.", param="fn_index")
            if "data" in fields:
                _check_data(values.get("data"), self._events[number])
        for field in ("session_hash", "event_id"):
            if field in fields and not isinstance(values.get(field), str):
                raise InvalidRequest(f"{field} must be text.", param=field)
        if "session_hash" not in fields:
            return []
        tab: str = values["session_hash"]
        if "event_id" in fields and self._tab_of(values["event_id"]) not in (None, tab):
            raise NotFound("The tab has no such event.", param="event_id")
        return [tab]

    def _admit(self, name: str, scope: Scope) -> None:
        if not 0 < len(name) <= LONGEST_NAME:
            raise InvalidRequest(
                f"A tab's name has 1 to {LONGEST_NAME} letters.", param="session_hash"
            )
        owner = scope["state"]["owner"]
        known = self._owners.get(name)
        if known is not None and known != owner:
            raise NotFound("There is no such tab.", param="session_hash")
        # A browser that keeps no cookies is somebody else at every request: nothing is its own.
        if known is None and Request(scope).cookies.get(OWNER_COOKIE) != owner:
            return
        self._owners[name] = owner
        self._owners.move_to_end(name)
        while len(self._owners) > TABS_KNOWN:
            self._owners.popitem(last=False)


async def _whole(receive: Receive) -> bytes:
    """The body, which the outer layer has bounded."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The channel as it was before `body` was read from it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _values(body: bytes) -> dict[str, Any]:
    """The fields of a body. Raises InvalidRequest for what Gradio would fail on."""
    try:
        value = json.loads(body, parse_float=_finite, parse_constant=_finite)
        if _ESCAPED_HALF.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is no JSON that can be read.") from error
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def _check_data(data: object, count: int) -> None:
    """Raise InvalidRequest for values that the handler does not take."""
    if not isinstance(data, list) or len(data) != count:
        raise InvalidRequest(f"The event takes a list of {count} values.", param="data")
    # Gradio would fetch it. The page's own files come from uploads, and have a path.
    if any(_ADDRESS.match(str(file["path"])) for file in _files(data)):
        raise InvalidRequest("A file is given by its upload, not by an address.", param="data")


def _files(value: object) -> Iterator[dict[str, Any]]:
    """Everything in `value` that Gradio may take for a file."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, dict):
            if "path" in inner:
                yield inner
            left += inner.values()
        elif isinstance(inner, list):
            left += inner


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("JSON has no such number")
    return number
