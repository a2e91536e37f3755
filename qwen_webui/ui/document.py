"""The HTML document around Gradio's page: language, our scripts and styles, no foreign words.

Gradio offers no way to decide these per visitor, so the one document it sends is completed on its
way out. Everything else passes untouched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen_webui.ui.routes import read_assets, words_for_scripts
from qwen_webui.ui.texts import AllTexts
from qwen_webui.ui.visitor import language_of

# Social-media cards of Gradio's own, with addresses on other hosts.
_CARDS = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')
# An address outside a proxy's prefix, for installing the page, which is off.
_MANIFEST = re.compile(r'<link rel="manifest"[^>]*>\s*')
# Where Gradio believes to be, in a script that loads another.
_ROOT = re.compile(r'const root = "[^"]*";')
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='8' fill='%231f6b5c'/%3E%3Cpath d='M9 11h14M9 16h14M9 21h8'"
    " stroke='%23fff' stroke-width='2.6' stroke-linecap='round'/%3E%3C/svg%3E"
)
TITLE = "Qwen WebUI"
# In this order: a later file wins.
STYLES = (
    *(
        "tokens",
        "frame",
        "side",
        "top",
        "messages",
        "welcome",
        "composer",
        "panel",
        "dialog",
        "models",
        "advice",
        "tabs",
        "documents",
        "citations",
        "report",
        "diagnosis",
        "json",
        "jsoneditor",
        "jsonanswer",
        "monitor",
        "compare",
        "compared",
    ),
    "narrow",
)


class PageDocument:
    """Wraps the application; touches GET / only."""

    def __init__(self, app: ASGIApp, texts: AllTexts) -> None:
        self._app = app
        self._texts = texts
        assets = read_assets()
        mark = hashlib.sha256(json.dumps(assets).encode()).hexdigest()[:12]
        self._styles = "".join(
            f'<link rel="stylesheet" href="./ui/assets/{name}.css?{mark}">' for name in STYLES
        )
        self._script = f'<script type="module" src="./ui/assets/page.js?{mark}"></script>'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        # Compressed it could not be completed.
        kept = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
        whole = _Whole(send, lambda html: self._complete(html, Request(scope)))
        await self._app({**scope, "headers": kept}, receive, whole.send)

    def _complete(self, html: str, request: Request) -> str:
        language = language_of(request)
        tag = "zh-CN" if language == "zh" else "en"
        words = json.dumps(words_for_scripts(self._texts, language), ensure_ascii=False)
        boot = (
            "<script>(() => {"
            # Gradio reads its language from the browser; the switch on the page comes first.
            f'for (const [name, value] of [["language", "{tag}"], ["languages", ["{tag}"]]])'
            "Object.defineProperty(navigator, name, { get: () => value, configurable: true });"
            f"window.qw = {{ language: '{language}', words: {_inline(words)} }};"
            # Behind a proxy that strips a prefix only the browser knows the page's address.
            "window.qwRoot = location.origin + location.pathname.replace(/\\/$/, '');"
            "})();</script>"
        )
        head = f'{boot}<link rel="icon" href="{_ICON}">{self._styles}{self._script}'
        html = _MANIFEST.sub("", _CARDS.sub("", html))
        html = _ROOT.sub("const root = qwRoot;", html, count=1)
        html = html.replace('lang="en"', f'lang="{tag}"', 1)
        root = "<script>if (window.gradio_config) window.gradio_config.root = qwRoot;</script>"
        html = html.replace("<script data-gradio-mode>", f"{root}<script data-gradio-mode>", 1)
        return html.replace(
            '<meta charset="utf-8" />',
            f'<meta charset="utf-8" /><title>{TITLE}</title>{head}',
            1,
        )


class _Whole:
    """Holds a response back until it is complete, then sends it changed."""

    def __init__(self, send: Send, change: Callable[[str], str]) -> None:
        self._send = send
        self._change = change
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        assert self._start is not None, "a response begins with its start"
        headers = MutableHeaders(raw=self._start["headers"])
        if headers.get("content-type", "").startswith("text/html"):
            self._body = self._change(self._body.decode()).encode()
            headers["content-length"] = str(len(self._body))
            headers["cache-control"] = "no-store"
            headers["vary"] = "Accept-Language, Cookie"
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": self._body})


def _inline(data: str) -> str:
    """JSON that cannot end the script it stands in."""
    return data.replace("<", "\\u003c")
