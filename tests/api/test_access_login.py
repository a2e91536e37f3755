"""The login page over real connections: in and out, where it leads, its cookies, languages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest

from tests.api.conftest import Served, serving
from tests.api.test_access_keys import ADMIN, KEY, SETTINGS, bearer, login
from tests.api.test_generate import told

HTML = {"accept": "text/html,application/xhtml+xml"}
FRAMED = {"sec-fetch-dest": "iframe", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
HTTPS = {"x-forwarded-proto": "https"}


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, settings=SETTINGS) as served:
        yield served


def cookies(response: httpx.Response, name: str) -> list[str]:
    return [c for c in response.headers.get_list("set-cookie") if c.startswith(name)]


async def test_a_person_is_led_to_the_login_and_back(keyed: Served) -> None:
    for path, up in (
        ("/", "./"),
        ("/?c=0123", "./"),
        ("/docs", "./"),
        ("/ui/export/a%20b.md?x=1&y=%26", "../../"),
    ):
        away = await keyed.client.get(path, headers=HTML)
        target = away.headers["location"]
        assert away.status_code == 303 and target.startswith(f"{up}login")
        page = await keyed.client.get(urljoin(path, target))
        assert page.status_code == 200
        hidden = re.search(r'name="next" value="([^"]*)"', page.text)
        assert hidden, "the form remembers where it leads"
        form = {"key": KEY, "next": hidden[1].replace("&amp;", "&")}
        back = await keyed.client.post("/login", data=form)
        assert back.status_code == 303
        assert urljoin("/login", back.headers["location"]) == path
        keyed.client.cookies.clear()


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "application/json"},
        {"accept": "*/*"},
        {},
        {**HTML, "sec-fetch-mode": "cors"},
    ],
)
async def test_a_program_is_told_401(keyed: Served, headers: dict[str, str]) -> None:
    response = await keyed.client.get("/", headers=headers)
    assert (response.status_code, told(response)["code"]) == (401, "invalid_api_key")
    sent = await keyed.client.post("/", headers=HTML)
    assert sent.status_code == 401


async def test_in_and_out(keyed: Served) -> None:
    entered = await login(keyed, KEY)
    (cookie,) = cookies(entered, "qw_login")
    assert re.fullmatch(
        r"qw_login_\d+=\d+\.[0-9a-f]{64}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", cookie
    )
    assert KEY not in str(entered.headers)
    assert (await keyed.client.get("/api/models")).status_code == 200
    assert (await keyed.client.get("/login?next=docs")).headers["location"] == "./docs"
    left = await keyed.client.post("/logout")
    assert (left.status_code, left.headers["location"]) == (303, "./login")
    assert (await keyed.client.get("/api/models")).status_code == 401


async def test_an_address_that_logs_in(keyed: Served) -> None:
    """reliability line 53"""
    response = await keyed.client.get(f"/login?key={quote(ADMIN)}", headers=HTML)
    assert (response.status_code, response.headers["location"]) == (303, "./")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert (await keyed.client.post("/api/models/unload")).status_code == 200


async def test_the_login_survives_a_restart_and_dies_with_the_key(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"api_key": KEY}) as served:
        pair = cookies(await login(served, KEY), "qw_login")[0].split(";")[0]
    for key, status in ((KEY, 200), ("a-new-key-instead", 401)):
        async with serving(tmp_path, settings={"api_key": key}) as served:
            response = await served.client.get("/api/models", headers={"cookie": pair})
            assert response.status_code == status


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "./\\evil.example",
        "javascript:alert(1)",
        "x\r\nset-cookie: a=b",
        "../../evil",
        "%2f%2fevil.example",
        "\t//evil.example",
        "@evil.example",
        ":80@evil.example",
        "q" * 100_000,
    ],
)
async def test_the_login_leads_nowhere_else(keyed: Served, target: str) -> None:
    base = "http://ours.example/prefix/login"
    for response in (
        await keyed.client.get("/login", params={"key": KEY, "next": target[:2000]}),
        await keyed.client.post("/login", data={"key": KEY, "next": target[:2000]}),
    ):
        assert response.status_code == 303
        # As a browser resolves it: backslashes are slashes, tabs and line ends are not there.
        location = re.sub(r"[\t\r\n]", "", response.headers["location"].replace("\\", "/"))
        found = urlsplit(urljoin(base, location))
        assert (found.scheme, found.netloc) == ("http", "ours.example")
        assert found.path.startswith("/prefix/") and not cookies(response, "a=")


async def test_a_large_form_is_refused(keyed: Served) -> None:
    response = await keyed.client.post("/login", data={"key": "k" * 20_000})
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("headers", "marks"),
    [
        ({}, "SameSite=Lax"),
        ({"sec-fetch-dest": "document"}, "SameSite=Lax"),
        (HTTPS, "SameSite=None; Secure; Partitioned"),
        ({**HTTPS, "sec-fetch-dest": "document"}, "SameSite=Lax; Secure"),
        ({**HTTPS, **FRAMED}, "SameSite=None; Secure; Partitioned"),
        (FRAMED, "SameSite=None; Secure; Partitioned"),  # https that the proxy does not tell of
    ],
)
async def test_cookies_hold_in_frames(keyed: Served, headers: dict[str, str], marks: str) -> None:
    """reliability line 64"""
    response = await keyed.client.get(f"/login?key={KEY}", headers=HTML | headers)
    assert cookies(response, "qw_login")[0].endswith(f"HttpOnly; {marks}")
    keyed.client.cookies.clear()
    page = await keyed.client.get("/login", headers=HTML | headers)
    assert cookies(page, "qw_owner")[0].endswith(f"HttpOnly; {marks}")
    assert "frame-ancestors" not in page.headers["content-security-policy"]
    assert "x-frame-options" not in page.headers


async def test_of_two_cookies_of_a_name_any_right_one_counts(keyed: Served) -> None:
    right = cookies(await login(keyed, KEY), "qw_login")[0].split(";")[0]
    keyed.client.cookies.clear()
    name = right.split("=")[0]
    for text in (f"{name}=old; {right}", f'{right}; x={{"a": "b"}}; {name}=1.2', f"a b; {right}"):
        assert (await keyed.client.get("/api/models", headers={"cookie": text})).status_code == 200


async def test_the_page_speaks_two_languages_and_says_what_was_wrong(keyed: Served) -> None:
    for language, tag, title, wrong in (
        ("en-GB", "en", "Log in", "not one of this server"),
        ("zh-CN", "zh-CN", "登录", "密钥不正确"),
    ):
        headers = {"accept-language": language}
        page = await keyed.client.get("/login", headers=headers)
        assert f'lang="{tag}"' in page.text and title in page.text
        refused = await login(keyed, 'no"><script>alert(1)</script>', **headers)
        assert refused.status_code == 401 and wrong in refused.text
        assert "alert(1)" not in refused.text
        switched = await keyed.client.get("/login?lang=zh&next=docs", headers=headers)
        assert 'lang="zh-CN"' in switched.text and 'value="docs"' in switched.text
        kept = await keyed.client.get("/login", headers=headers)
        assert 'lang="zh-CN"' in kept.text
        keyed.client.cookies.clear()
        for response in (page, refused):
            assert response.headers["cache-control"] == "no-store"
            # Nothing from elsewhere, nothing absolute, no script.
            assert not re.search(r'<script|https?://|(?:href|src|action)="/', response.text)


async def test_pages_of_others_cannot_log_anyone_in(keyed: Served) -> None:
    response = await login(keyed, KEY, **{"sec-fetch-site": "cross-site"})
    assert response.status_code == 403 and not cookies(response, "qw_login")


async def test_what_else_is_asked_of_these_paths(keyed: Served) -> None:
    """Gradio has a login of its own at the same addresses."""
    await login(keyed, KEY)
    for method, path, status in (
        ("GET", "/login/", 404),
        ("POST", "/login/", 404),
        ("GET", "/login/callback", 404),
        ("GET", "/logout", 405),
        ("GET", "/logout/", 404),
        ("DELETE", "/login", 405),
        ("GET", "/loginx", 404),
    ):
        response = await keyed.client.request(method, path, headers=bearer(KEY))
        assert response.status_code == status and told(response)["code"], path


async def test_without_keys_there_is_nothing_to_log_in_to(served: Served) -> None:
    for path in ("/login", "/login?key=anything-at-all", "/login?key=x&next=docs"):
        response: Any = await served.client.get(path)
        assert response.status_code == 303 and not cookies(response, "qw_login")
