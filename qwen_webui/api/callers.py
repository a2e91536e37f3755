"""Who calls: the key in a request's headers or the login cookie, and what that allows.

Wrong keys are counted by address. Refuses by raising; how a refusal looks is access.py's.
"""

from __future__ import annotations

import time

from starlette.datastructures import Headers
from starlette.types import Scope

from qwen_webui.api.cookies import cookie_values, set_cookie
from qwen_webui.api.keys import LOGIN_SECONDS, Holder, Keys
from qwen_webui.api.tries import Tries
from qwen_webui.errors import TooManyTries, Unauthorized
from qwen_webui.settings import Settings

NO_KEY = (
    "This server asks for a key, and the request had none. Send it as `Authorization: Bearer KEY` "
    "or as `x-api-key: KEY`, or log in at /login in a browser."
)
WRONG_KEY = (
    "The key of this request is not one of this server's. Send the right one as `Authorization: "
    "Bearer KEY` or as `x-api-key: KEY`; whoever runs the server knows it."
)


def login_cookie(port: int) -> str:
    """Its name: servers on other ports of this computer get each other's cookies."""
    return f"qw_login_{port}"


class Callers:
    """Knows the keys of `settings` and the addresses that sent wrong ones."""

    def __init__(self, settings: Settings) -> None:
        self.keys = Keys(
            [key.get_secret_value() for key in settings.api_key],
            [key.get_secret_value() for key in settings.admin_key],
        )
        self._tries = Tries()
        self._cookie = login_cookie(settings.port)

    def identify(self, scope: Scope, headers: Headers, *, cookies: bool = True) -> Holder:
        """Who sent these headers. Raises Unauthorized or TooManyTries."""
        known = self._by_cookie(headers) if cookies else None
        given = _given(headers)
        if not given:
            if known is None:
                raise Unauthorized(NO_KEY)
            return known
        try:
            found = self.check(scope, *given)
        except (Unauthorized, TooManyTries):
            if known is None:
                raise
            return known
        return known if known is not None and known.admin else found

    def check(self, scope: Scope, *given: str) -> Holder:
        """Who holds one of the keys `given`. Raises TooManyTries, without a look at them, for an
        address that has to wait; Unauthorized when none is right."""
        address = (scope.get("client") or ("",))[0]
        seconds = self._tries.wait(address)
        if seconds:
            raise TooManyTries(
                f"Too many wrong keys came from this address. Wait {seconds} seconds, then send "
                "the right one.",
                retry_after=seconds,
            )
        found = [holder for holder in map(self.keys.find, given) if holder is not None]
        if not found:
            self._tries.wrong(address)
            raise Unauthorized(WRONG_KEY)
        return next((holder for holder in found if holder.admin), found[0])

    def logged_in(self, scope: Scope, headers: Headers, holder: Holder) -> str:
        """The Set-Cookie that lets the browser of `holder` in from now on."""
        value = self.keys.cookie(holder, time.time())
        return set_cookie(headers, scope["scheme"], self._cookie, value, LOGIN_SECONDS)

    def logged_out(self, scope: Scope, headers: Headers) -> str:
        """The Set-Cookie that takes it back."""
        return set_cookie(headers, scope["scheme"], self._cookie, "", 0)

    def _by_cookie(self, headers: Headers) -> Holder | None:
        now = time.time()
        values = cookie_values(headers, self._cookie)[:8]
        found = [h for v in values if (h := self.keys.read_cookie(v, now)) is not None]
        return next((h for h in found if h.admin), found[0] if found else None)


def _given(headers: Headers) -> list[str]:
    """The keys in the headers. Credentials of another scheme are a proxy's, not ours."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    bearer = rest.strip() if scheme.lower() == "bearer" else ""
    return [key for key in (bearer, headers.get("x-api-key", "").strip()) if key]
