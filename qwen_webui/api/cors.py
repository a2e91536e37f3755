"""What pages of other sites may do: nothing, but for the origins the settings name.

Says which headers go out and whether a request may go on; access.py does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from qwen_webui.api.hosts import without_port

ANY = "*"
REMEMBERED_SECONDS = 600
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
SENT = "authorization, content-type, x-api-key, x-request-id"
READ = "x-request-id, retry-after"


def is_foreign(headers: Headers) -> bool:
    """Whether a page of another site or port asks. Browsers say so themselves over https and to
    this computer; elsewhere the page's origin must be the address that it asks."""
    site = headers.get("sec-fetch-site")
    if site in ("cross-site", "same-origin", "none"):
        return site == "cross-site"
    if "origin" not in headers:
        return False
    origin = urlsplit(headers["origin"].lower()).netloc
    # A page may not send the second one unless it is let; proxies that change the first do.
    for name in ("host", "x-forwarded-host"):
        asked = headers.get(name, "").split(",")[0].strip().lower()
        # Some proxies pass a name on without its port.
        if asked and asked in (origin, without_port(origin)):
            return False
    return True


class Cors:
    """The rules for `origins`: exact ones with cookies, or * for any without."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._any = ANY in origins
        self._origins = frozenset(origins) - {ANY}

    def allows(self, headers: Headers) -> bool:
        """Whether the page that asks is one of those."""
        origin = headers.get("origin", "").lower()
        return origin in self._origins or (self._any and bool(origin))

    def takes_cookies(self, headers: Headers) -> bool:
        """Whether the login cookie counts: for pages of ours and of the origins named, but not
        for just any."""
        if not self._any or not is_foreign(headers):
            return True
        return "origin" not in headers or headers["origin"].lower() in self._origins

    def is_preflight(self, method: str, headers: Headers) -> bool:
        """Whether a browser asks for leave before it sends the request itself."""
        return (
            method == "OPTIONS"
            and "access-control-request-method" in headers
            and self.allows(headers)
        )

    def leave(self, headers: Headers) -> Mapping[str, str]:
        """The headers that let the asking page read the answer."""
        if not self._any and not self._origins:
            return {}
        if not self.allows(headers):
            return {"vary": "Origin"}
        origin = headers["origin"]
        leave = {"vary": "Origin", "access-control-expose-headers": READ}
        if origin.lower() in self._origins:
            return leave | {
                "access-control-allow-origin": origin,
                "access-control-allow-credentials": "true",
            }
        return leave | {"access-control-allow-origin": ANY}

    def preflight(self) -> Mapping[str, str]:
        """What may be sent."""
        return {
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": SENT,
            "access-control-max-age": str(REMEMBERED_SECONDS),
        }
