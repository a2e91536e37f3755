"""Who looks at the page and in which language, from the request alone.

The owner cookie is set by the outer access layer; nothing here sets or trusts anything else.
"""

from __future__ import annotations

import re
from typing import Protocol

from qwen_webui.errors import NotFound
from qwen_webui.language import LANGUAGE_COOKIE, wanted_language
from qwen_webui.personas import Language

OWNER_COOKIE = "qw_owner"
_OWNER = re.compile(r"[0-9a-f]{32}")


class HasHeaders(Protocol):
    """What a gr.Request and a starlette Request have in common."""

    @property
    def headers(self) -> object: ...

    @property
    def cookies(self) -> object: ...


def owner_of(request: HasHeaders) -> str:
    """The visitor's owner id (32 hex digits). Raises NotFound when the browser sent none."""
    state = getattr(request, "state", None)
    owner = getattr(state, "owner", None) or _mapping(request.cookies).get(OWNER_COOKIE, "")
    if not isinstance(owner, str) or not _OWNER.fullmatch(owner):
        raise NotFound("The browser sent no owner cookie; allow cookies here.", code="no_owner")
    return owner


def language_of(request: HasHeaders) -> Language:
    """The language chosen with the switch, else the first of the browser's that the page has."""
    chosen = _mapping(request.cookies).get(LANGUAGE_COOKIE)
    return wanted_language(chosen, _mapping(request.headers).get("accept-language", ""))


def is_admin(request: HasHeaders) -> bool:
    """Whether the visitor may load, unload and download, as the access layer found."""
    return getattr(getattr(request, "state", None), "admin", False) is True


def _mapping(value: object) -> dict[str, str]:
    return {str(k).lower(): str(v) for k, v in dict(value).items()}  # type: ignore[call-overload]
