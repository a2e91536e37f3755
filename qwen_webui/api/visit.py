"""One request on its way through: counts its body, finishes its headers, remembers its status.

The rules that refuse a request before it is read are access.py's.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from qwen_webui.api.cookies import cookie_values, set_cookie
from qwen_webui.api.problems import problem
from qwen_webui.documents import Limits
from qwen_webui.errors import PayloadTooLarge, SlowRequest, WebUIError

OWNER_COOKIE = "qw_owner"
OWNER_SECONDS = 400 * 24 * 3600  # the longest that browsers keep a cookie
BODY_BYTES = 4 << 20
# Where a document may be sent (the API's address, the page's), and what one may have: the file
# and, in a form, what stands around it.
UPLOAD_PATHS = ("/api/documents", "/ui/documents")
UPLOAD_BYTES = Limits().file_bytes + (64 << 10)
BODY_PATIENCE, BODY_BYTES_PER_SECOND = 20.0, 16 << 10

_OWNER = re.compile(r"[0-9a-f]{32}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Scripts and styles of the page are inline; nothing may come from another host.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' data: blob:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-resource-policy": "same-origin",
}


class Visit:
    """The ASGI channels of one request, wrapped. The scope's state has its `request_id`, `owner`
    and `admin`: whether it may load, unload and download. `leave` are the CORS headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = Headers(scope=scope)
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.started = time.monotonic()
        self.status: int | None = None
        self.refusal: WebUIError | None = None
        given = self.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.leave: Mapping[str, str] = {}
        known = _owner(self.headers)
        self.owner = known or secrets.token_hex(16)
        self.state: dict[str, object] = scope.setdefault("state", {})
        self.state.update(request_id=self.id, owner=self.owner, admin=False)
        self.limit = UPLOAD_BYTES if self.path in UPLOAD_PATHS else BODY_BYTES
        self.scope, self._receive, self._send = scope, receive, send
        self._new_owner = known is None
        self._received = 0
        self._all_received = False

    def admit(self, *, admin: bool, owner: str | None = None) -> None:
        """Let in, with the rights of an admin or without. `owner` is the key's own, for callers
        that keep no cookie; a browser still gets one, so that two that share a key (a proxy may
        send it for both) do not share their conversations."""
        self.state["admin"] = admin
        if owner is not None and self._new_owner:
            self.state["owner"] = owner

    async def receive(self) -> Message:
        """The next part of the body; a disconnect, with `refusal` set, when it is too much or
        comes too slowly."""
        if self._all_received:
            return await self._receive()
        patience = BODY_PATIENCE + self._received / BODY_BYTES_PER_SECOND
        left = self.started + patience - time.monotonic()
        try:
            # Not wait_for: before Python 3.12 it loses a cancel that meets a message.
            async with asyncio.timeout(left):
                message = await self._receive()
        except TimeoutError:
            self.refusal = SlowRequest("The body came too slowly. Send the request again.")
            return {"type": "http.disconnect"}
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._all_received = not message.get("more_body", False)
            if self._received > self.limit:
                self.refusal = self.too_large()
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Send on, with our headers; a refusal takes the place of whatever was made of the
        body that was not read to its end."""
        if self.refusal is not None:
            if self.status is None:
                await self.refuse(self.refusal)
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._finish_headers(MutableHeaders(raw=message.setdefault("headers", [])))
        await self._send(message)

    async def refuse(self, error: WebUIError) -> None:
        """Answer with `error`, whatever the application does."""
        self.refusal = None
        close = isinstance(error, SlowRequest)
        await problem(error, close=close)(self.scope, self._receive, self.send)
        self.refusal = error

    def too_large(self) -> PayloadTooLarge:
        """The refusal of a body over the limit."""
        return PayloadTooLarge(
            f"The body is larger than the {self.limit >> 20} MiB that {self.path[:80]} takes. "
            "Send less."
        )

    @property
    def tokens(self) -> object:
        """Tokens generated, where the route told."""
        return self.state.get("tokens")

    def _finish_headers(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.id
        for name in [n for n in headers if n.startswith("access-control-")]:
            del headers[name]  # no foreign page is to read what is here
        for name, value in self.leave.items():
            headers.append(name, value)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        kind = headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            headers["x-accel-buffering"] = "no"
        if self.path.startswith("/assets/") and self.status == 200:
            headers["cache-control"] = "public, max-age=31536000, immutable"
        if self._new_owner and kind.startswith("text/html"):
            cookie = (OWNER_COOKIE, self.owner, OWNER_SECONDS)
            headers.append("set-cookie", set_cookie(self.headers, self.scope["scheme"], *cookie))


def _owner(headers: Headers) -> str | None:
    values = cookie_values(headers, OWNER_COOKIE)
    return next((value for value in values if _OWNER.fullmatch(value)), None)
