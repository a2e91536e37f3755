"""The keys of this server: who holds which, and the login cookies made from them.

Keys are compared as digests, all of them every time, in constant time. A cookie is an expiry and a
MAC of it, so that it survives a restart and dies with its key. Reads no request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

LOGIN_SECONDS = 30 * 24 * 3600
# Whoever steals a cookie can try keys on it at home; each try shall cost some time.
STRETCHES = 100_000
SALT = b"qwen-webui login"

_COOKIE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Holder:
    """Whoever showed a key. `owner` (32 hex digits) is theirs on every machine; `place` is the
    key's, the key itself is not kept here."""

    place: int
    admin: bool
    owner: str


class Keys:
    """All keys; false when there is none. Without an admin key every key is one."""

    def __init__(self, ordinary: Sequence[str], admin: Sequence[str]) -> None:
        every = dict.fromkeys((*admin, *ordinary))
        self._digests = [_digest(key) for key in every]
        self._secrets = [
            hashlib.pbkdf2_hmac("sha256", key.encode(), SALT, STRETCHES) for key in every
        ]
        self._holders = [
            Holder(place, not admin or key in admin, _mac(secret, "owner")[:32])
            for place, (key, secret) in enumerate(zip(every, self._secrets, strict=True))
        ]

    def __bool__(self) -> bool:
        return bool(self._holders)

    def find(self, given: str) -> Holder | None:
        """Who holds `given`."""
        digest = _digest(given)
        equal = [hmac.compare_digest(digest, known) for known in self._digests]
        return next((h for h, same in zip(self._holders, equal, strict=True) if same), None)

    def cookie(self, holder: Holder, now: float) -> str:
        """What the browser of `holder` keeps; `now` is in seconds since 1970."""
        expiry = str(int(now) + LOGIN_SECONDS)
        return f"{expiry}.{_mac(self._secrets[holder.place], expiry)}"

    def read_cookie(self, value: str, now: float) -> Holder | None:
        """Who was given the cookie `value`; nobody when it has expired or its key is gone."""
        found = _COOKIE.fullmatch(value)
        if found is None or not now < int(found[1]) <= now + LOGIN_SECONDS + 1:
            return None
        equal = [hmac.compare_digest(_mac(s, found[1]), found[2]) for s in self._secrets]
        return next((h for h, same in zip(self._holders, equal, strict=True) if same), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _mac(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
