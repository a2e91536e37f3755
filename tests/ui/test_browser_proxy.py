"""The page in Chromium behind proxies that tell the server nothing, and in other sites' frames."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from playwright.sync_api import Browser, Frame, Page, expect

from tests.api.proxy import Proxy
from tests.ui.hands import PATIENCE, TEXT, Hands
from tests.ui.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "the-only-key"
PREFIX = "/lab/user-7/proxy/7860"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("proxied"), api_key=KEY).start()
    yield site
    site.stop()


@contextmanager
def proxied(site: Site, prefix: str = "", **how: Any) -> Iterator[Proxy]:
    proxy = Proxy(site.port, prefix, **how).start()
    try:
        yield proxy
    finally:
        proxy.stop()


def certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


class Seen:
    """What a page asked for and what came of it."""

    def __init__(self, page: Page) -> None:
        self.kinds: set[str] = set()
        self.paths: list[str] = []
        self.wrong: list[str] = []
        page.on("response", self._response)
        page.on("requestfailed", self._failed)
        page.on("pageerror", lambda error: self.wrong.append(f"script error: {error}"))

    def _response(self, response: Any) -> None:
        self.kinds.add(response.request.resource_type)
        self.paths.append(urlsplit(response.url).path)
        if response.status >= 400:
            self.wrong.append(f"{response.status} {response.url}")

    def _failed(self, request: Any) -> None:
        # The page ends its own streams, and a navigation ends what is under way.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.wrong.append(f"{request.failure} {request.url}")


@pytest.mark.parametrize("told", [{}, {"x-forwarded-prefix": PREFIX}])
def test_behind_a_proxy_that_strips_a_prefix(
    browser: Browser, site: Site, told: dict[str, str]
) -> None:
    """reliability line 64"""
    with proxied(site, PREFIX, headers=told) as proxy, browser.new_context() as context:
        page = context.new_page()
        seen = Seen(page)
        me = Hands(page, proxy.url())
        page.goto(me.url + "/")
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        expect(page.locator(".qw-meter")).to_be_visible(timeout=PATIENCE)
        me.ready()
        assert me.ask("good morning") == "Echo: good morning"
        with page.expect_download() as download:
            me.menu("good morning", "Export as Markdown")
        assert "good morning" in download.value.path().read_text()
        page.goto(me.url + "/docs")
        expect(page.locator("#api .information-container").first).to_be_visible(timeout=PATIENCE)
        assert seen.wrong == [] and proxy.outside == []
        assert {"document", "script", "stylesheet", "fetch"} <= seen.kinds
        assert all(path.startswith(PREFIX + "/") for path in seen.paths)
        for part in ("/assets/", "/ui/assets/", "/ui/bar", "/theme.css", "/queue/join"):
            assert any(part in path for path in seen.paths), part


def test_files_through_a_proxy(site: Site) -> None:
    """reliability line 64"""
    with proxied(site, PREFIX) as proxy:
        headers = {"x-api-key": KEY}
        sent = proxy.url() + "/ui/documents?name=a.txt"
        answer = httpx.post(sent, content=b"hi", headers=headers)
        assert answer.status_code == 200 and '"name": "a.txt"' in answer.text
        asset = next(p for p in site_assets(proxy, headers) if p.endswith(".js"))
        script = httpx.get(f"{proxy.url()}/{asset}", headers=headers)
        assert script.status_code == 200 and "immutable" in script.headers["cache-control"]


def site_assets(proxy: Proxy, headers: dict[str, str]) -> list[str]:
    page = httpx.get(proxy.url() + "/", headers=headers).text
    return [part.split('"')[0] for part in page.split('"./')[1:] if part.startswith("assets/")]


@contextmanager
def other_site(html: str, tls: ssl.SSLContext | None) -> Iterator[str]:
    """Another site: 127.0.0.1 is one, seen from localhost."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def frame_of(page: Page, url: str) -> Frame:
    frame = next(f for f in page.frames if f.url.startswith(url))
    expect(frame.locator(".qw-meter")).to_be_visible(timeout=PATIENCE)
    expect(frame.locator(".qw-chip.qw-ready")).to_be_visible(timeout=PATIENCE)
    return frame


@pytest.mark.parametrize("told", [{}, {"x-forwarded-proto": "https"}])
@pytest.mark.parametrize("by", ["address", "form"])
def test_in_a_frame_of_another_site_over_https(
    browser: Browser, site: Site, told: dict[str, str], by: str
) -> None:
    """reliability line 64"""
    tls = certificate()
    with (
        proxied(site, tls=tls, headers=told) as proxy,
        browser.new_context(ignore_https_errors=True, locale="en-GB") as context,
    ):
        start = f"/login?key={KEY}" if by == "address" else "/"
        html = f'<iframe src="{proxy.url()}{start}" width="1200" height="700"></iframe>'
        with other_site(html, tls) as outer:
            page = context.new_page()
            seen = Seen(page)
            page.goto(outer)
            if by == "form":
                inside = page.frame_locator("iframe")
                inside.locator("#key").fill(KEY)
                inside.locator("button").click()
                expect(inside.locator(".qw-meter")).to_be_visible(timeout=PATIENCE)
            else:
                expect(page.frame_locator("iframe").locator(".qw-meter")).to_be_visible(
                    timeout=PATIENCE
                )
            frame = frame_of(page, proxy.url())
            frame.fill(TEXT, "from a frame")
            frame.press(TEXT, "Enter")
            answer = frame.locator(".bot-row .message-content").first
            expect(answer).to_contain_text("Echo: from a frame", timeout=PATIENCE)
            # The conversation is this visitor's, whom only the cookie tells apart.
            expect(frame.locator(".qw-list li")).to_have_count(1)
            frame.locator(".qw-language").click()
            expect(frame.locator("html")).to_have_attribute("lang", "zh-CN", timeout=PATIENCE)
            assert seen.wrong == []
