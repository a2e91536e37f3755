"""A server with keys, page and all: every route there is, and the page's own handlers."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from tests.serving import until
from tests.ui.site import Site

KEY, ADMIN = "an-ordinary-key", "the-admins-key"
OPEN = {"/healthz", "/readyz", "/login"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("locked")
    site = Site(folder, api_key=KEY, admin_key=ADMIN).start()
    site.call(until(site.services.manager, lambda status: status.state == "ready"))
    yield site
    site.stop()


@pytest.fixture
def client(locked: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=locked.url, timeout=20) as client:
        yield client


def routes(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path of the application, with what is mounted and included in it."""
    for route in app.routes:
        inner = getattr(route, "app", None) if isinstance(route, Mount) else None
        if inner is not None:
            path = prefix + route.path
            yield "GET", f"{path}/"
            if hasattr(inner, "routes"):
                yield from routes(inner, path)
        elif isinstance(route, Route):
            for method in sorted(route.methods or {"GET"}):
                yield method, prefix + route.path
        elif hasattr(route, "original_router"):
            yield from routes(route.original_router, prefix)
        else:
            raise AssertionError(f"a kind of route that this test does not know: {route!r}")


def filled(path: str) -> str:
    """A path without its parameters' names."""
    return re.sub(r"\{[^}]*\}", "x", path)


def test_every_route_there_is_asks_for_a_key(locked: Site, client: httpx.Client) -> None:
    """reliability line 51: whatever is added later is found here."""
    assert isinstance(locked.app.app, FastAPI)
    found = {(method, filled(path)) for method, path in routes(locked.app.app)}
    paths = {path for _, path in found}
    for known in (
        *("/", "/config", "/theme.css", "/gradio_api/queue/join", "/gradio_api/upload"),
        *("/gradio_api/file=x", "/assets/x", "/ui/bar", "/ui/assets/x", "/openapi.json"),
        *("/api/generate", "/api/models/load", "/v1/chat/completions", "/docs", "/healthz"),
    ):
        assert known in paths, f"{known} was not found, so the search is not whole"
    answers = {
        (method, path): client.request(method, path).status_code
        for method, path in sorted(found)
        if path not in OPEN
    }
    assert len(answers) > 100
    assert {call: status for call, status in answers.items() if status != 401} == {}
    for path in OPEN:
        assert client.get(path).status_code == 200


def test_the_rest_of_gradio_is_locked_too(locked: Site, client: httpx.Client) -> None:
    """reliability lines 19 and 51"""
    for path in ("/gradio_api/cancel", "/gradio_api/queue/join", "/gradio_api/reset"):
        body = {"session_hash": "abc", "fn_index": 0, "event_id": "x", "data": []}
        assert client.post(path, json=body).status_code == 401
    for path in ("/gradio_api/upload", "/ui/documents?name=a.txt"):
        assert client.post(path, content=b"hello").status_code == 401
    assert client.get("/gradio_api/heartbeat/abc").status_code == 401


def test_gradios_own_login_is_out_of_reach(client: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    for method, path in (("POST", "/login/"), ("GET", "/logout/"), ("GET", "/login/x")):
        response = client.request(method, path, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def event(client: httpx.Client, name: str) -> tuple[int, int]:
    """Gradio's number of the handler of a hidden event, and how many inputs it takes."""
    config = client.get("/config").json()
    box = next(
        c["id"] for c in config["components"] if c["props"].get("elem_id") == f"qw-do-{name}"
    )
    for dependency in config["dependencies"]:
        if [box, "submit"] in [list(target) for target in dependency["targets"]]:
            return dependency["id"], len(dependency["inputs"])
    raise AssertionError(f"{name} has no handler")


def call(client: httpx.Client, name: str, *given: Any) -> dict[str, Any]:
    """The last thing the server says to the event `name`."""
    number, inputs = event(client, name)
    session = secrets.token_hex(5)
    data = [*given, *[None] * (inputs - len(given))]
    body = {"data": data, "fn_index": number, "session_hash": session}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as lines:
        for line in lines.iter_lines():
            if line.startswith("data:"):
                message: dict[str, Any] = json.loads(line[5:])
                if message["msg"] == "process_completed":
                    return message
    raise AssertionError("the event did not end")


@pytest.mark.parametrize(("key", "may"), [(KEY, False), (ADMIN, True)])
@pytest.mark.parametrize("by", ["header", "cookie"])
def test_the_handlers_refuse_by_themselves(
    locked: Site, client: httpx.Client, key: str, may: bool, by: str
) -> None:
    """reliability line 58"""
    if by == "cookie":
        assert client.post("/login", data={"key": key}).status_code == 303
    else:
        client.headers["x-api-key"] = key
    client.headers["accept-language"] = "zh"
    client.get("/")  # for the owner's cookie
    target = "demo-gptq-int4" if by == "cookie" else "demo-awq-int4"
    loaded = call(client, "load", target)
    assert loaded["success"] is may
    if may:
        locked.call(until(locked.services.manager, lambda s: s.name == target))
        return
    assert "管理密钥" in json.dumps(loaded, ensure_ascii=False)
    assert call(client, "cancel")["success"] is False
    status = locked.services.manager.status()
    assert target not in (status.name, status.target)


def test_the_examples_for_programs_show_a_key(client: httpx.Client) -> None:
    client.headers["x-api-key"] = KEY
    html = client.get("/ui/about").text
    assert html.count("QWEN_WEBUI_API_KEY") == 2 and "import os\nimport requests" in html
    assert KEY not in html


@pytest.mark.parametrize(("key", "may"), [(KEY, False), (ADMIN, True)])
def test_the_page_shows_who_may_load(client: httpx.Client, key: str, may: bool) -> None:
    client.headers["x-api-key"] = key
    for language, sentence in (("en", "this server&#x27;s admin key"), ("zh", "管理密钥")):
        html = client.get("/ui/models", headers={"accept-language": language}).text
        assert (sentence in html) is not may
        buttons = re.findall(r"<button[^>]*data-load[^>]*>", html)
        assert buttons and any("disabled" not in b for b in buttons) is may
    bar = client.get("/ui/bar").json()["html"]
    assert may or "data-load" not in bar
    # What one may is not shown to the other out of a cache.
    other = client.get("/ui/bar", headers={"x-api-key": ADMIN if not may else KEY}).json()
    assert bar == other["html"] or client.get("/ui/bar").json()["version"] != other["version"]
