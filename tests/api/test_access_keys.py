"""Who may call: keys in headers and cookies, rights, wrong tries; over real connections."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.api.keys import LOGIN_SECONDS, Keys
from qwen_webui.api.tries import ADDRESSES, FIRST_WAIT, FREE_TRIES, LONGEST_WAIT, Tries
from tests.api.conftest import Served, serving
from tests.api.test_generate import told

KEY, OTHER, ADMIN = "an-ordinary-key", "another+key/=", "the-admins-key"
SETTINGS: dict[str, Any] = {"api_key": f"{KEY},{OTHER}", "admin_key": ADMIN}
WRONG = {"authorization": "Bearer not-the-key"}


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, settings=SETTINGS) as served:
        yield served


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def login(served: Served, key: str, **headers: str) -> httpx.Response:
    return await served.client.post("/login", data={"key": key}, headers=headers)


async def cookie_of(served: Served, key: str) -> dict[str, str]:
    """The header of a browser that has logged in and has no other cookie."""
    response = await login(served, key)
    served.client.cookies.clear()
    pair = response.headers["set-cookie"].split(";")[0]
    assert response.status_code == 303 and pair.startswith("qw_login_")
    return {"cookie": pair}


async def test_three_ways_to_show_a_key_are_equal(keyed: Served) -> None:
    """reliability line 51"""
    for key in (KEY, OTHER, ADMIN):
        ways = (bearer(key), {"authorization": f"bearer   {key}"}, {"x-api-key": key})
        for headers in (*ways, await cookie_of(keyed, key)):
            answer = await keyed.client.post(
                "/api/generate", json={"prompt": "Hi"}, headers=headers
            )
            assert (answer.status_code, answer.json()["text"]) == (200, "Echo: Hi")
            assert (await keyed.client.get("/api/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        WRONG,
        {"x-api-key": KEY[:-1]},
        {"x-api-key": KEY + "x"},
        {"x-api-key": ADMIN.upper()},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"cookie": f"qw_login_7860={KEY}"},
        {"cookie": "qw_login_7860=99999999999." + "0" * 64},
        {"cookie": "qw_login_7860=" + "9" * 5000},
        {"authorization": "Bearer \xff\xfe".encode("latin-1").decode("latin-1")},
    ],
)
async def test_without_a_right_key_nothing_is_answered(
    keyed: Served, headers: dict[str, str]
) -> None:
    """reliability line 51"""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    for method, path in (
        ("GET", "/"),
        ("GET", "/api/models"),
        ("GET", "/openapi.json"),
        ("POST", "/api/generate"),
        ("POST", "/api/models/unload"),
        ("GET", "/api/compare"),
        ("POST", "/api/compare"),
        ("DELETE", "/api/compare/x"),
        ("GET", "/api/compare/x/export"),
        ("OPTIONS", "/api/models"),
        ("GET", "/nothing"),
        ("GET", "/healthz/"),
        ("GET", "//healthz"),
        ("GET", "/login/"),
        ("GET", "/login/../api/models"),
        ("POST", "/logout"),
        ("HEAD", "/api/models"),
    ):
        keyed.client.cookies.clear()
        response = await keyed.client.request(method, path, headers=raw)
        if response.status_code == 429:
            break  # the wrong tries of this test were counted
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            error = told(response)
            assert error["code"] == "invalid_api_key"
            assert error["type"] == "invalid_request_error"
            assert not [secret for secret in (KEY, ADMIN, "not-the-key") if secret in response.text]
    for path in ("/healthz", "/readyz", "/login"):
        assert (await keyed.client.get(path, headers=raw)).status_code == 200


async def test_an_admin_key_for_what_changes_the_server(keyed: Served) -> None:
    """reliability line 58"""
    calls: tuple[tuple[str, Any], ...] = (
        ("/api/models/load", {"name": "two", "wait": True}),
        ("/api/models/cancel", None),
        ("/api/models/unload", None),
    )
    for headers in (bearer(KEY), {"x-api-key": OTHER}, await cookie_of(keyed, KEY)):
        for path, body in calls:
            refused = await keyed.client.post(path, json=body, headers=headers)
            assert (refused.status_code, told(refused)["code"]) == (403, "admin_key_required")
    assert keyed.loader.loads == ["one"]
    for headers in (bearer(ADMIN), await cookie_of(keyed, ADMIN)):
        for path, body in calls:
            done = await keyed.client.post(path, json=body, headers=headers)
            assert done.status_code == 200, done.text
    assert keyed.loader.loads == ["one", "two", "two"]


@pytest.mark.parametrize("settings", [{"api_key": KEY}, {}])
async def test_without_an_admin_key_every_caller_may(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    async with serving(tmp_path, settings=settings) as served:
        headers = bearer(KEY) if settings else {}
        done = await served.client.post("/api/models/unload", headers=headers)
        assert done.status_code == 200


async def test_an_admin_key_alone_locks_everything(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"admin_key": ADMIN}) as served:
        assert (await served.client.get("/api/models")).status_code == 401
        assert (await served.client.get("/api/models", headers=bearer(ADMIN))).status_code == 200


async def test_what_a_key_makes_belongs_to_the_key(keyed: Served) -> None:
    owners = []

    async def seen(scope: Any, receive: Any, send: Any) -> None:
        owners.append(scope["state"]["owner"])
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b""})

    layer = keyed.layer
    layer.app = seen
    mine = {"cookie": f"qw_owner={'a' * 32}"}
    for headers in (bearer(KEY), {"x-api-key": KEY}, bearer(OTHER), bearer(KEY) | mine):
        keyed.client.cookies.clear()
        response = await keyed.client.get("/api/models", headers=headers)
        # Two browsers behind a proxy that sends the key for both must not share conversations.
        given = re.match(r"qw_owner=([0-9a-f]{32})", response.headers.get("set-cookie", ""))
        assert (given is None) is ("cookie" in headers)
        assert given is None or given[1] not in owners
    assert owners[0] == owners[1] != owners[2] and owners[3] == "a" * 32
    assert all(re.fullmatch("[0-9a-f]{32}", owner) for owner in owners)


async def test_ten_wrong_keys_slow_an_address_down(keyed: Served) -> None:
    """reliability line 52"""
    cookie = await cookie_of(keyed, KEY)
    get = keyed.client.get
    for _ in range(10):
        assert (await get("/api/models", headers=WRONG)).status_code == 401
    for headers in (WRONG, bearer(KEY), {"x-api-key": ADMIN}):
        slow = await get("/api/models", headers=headers)
        assert (slow.status_code, told(slow)["code"]) == (429, "too_many_tries")
        assert 1 <= int(slow.headers["retry-after"]) <= FIRST_WAIT
    page = await keyed.client.post("/login", data={"key": KEY})
    assert page.status_code == 429 and "set-cookie" not in page.headers.get("set-cookie", "")
    assert int(page.headers["retry-after"]) >= 1
    # No key sent, a login from before, another address: none of them is slowed.
    assert (await get("/api/models")).status_code == 401
    assert (await get("/api/models", headers=cookie)).status_code == 200
    assert (await get("/api/models", headers=cookie | WRONG)).status_code == 200
    elsewhere = {"x-forwarded-for": "203.0.113.7"}
    assert (await get("/api/models", headers=bearer(KEY) | elsewhere)).status_code == 200
    # What a client claims about itself before its proxy is not believed.
    claimed = {"x-forwarded-for": "198.51.100.1, 127.0.0.1"}
    for n in range(11):
        claimed = {"x-forwarded-for": f"198.51.100.{n}, 203.0.113.9"}
        last = await get("/api/models", headers=WRONG | claimed)
    assert last.status_code == 429
    assert (await get("/healthz", headers=WRONG)).status_code == 200


async def test_no_key_in_log_or_answer(keyed: Served, caplog: pytest.LogCaptureFixture) -> None:
    """reliability line 60"""
    caplog.set_level(logging.DEBUG, "qwen_webui")
    texts = []
    for path in (f"/login?key={KEY}", "/login?key=not-the-key", f"/api/models?key={KEY}"):
        response = await keyed.client.get(path, headers={"accept": "text/html"})
        texts += [response.text, response.headers.get("location", "")]
        keyed.client.cookies.clear()
    await keyed.client.get("/api/models", headers=WRONG)
    await keyed.client.get("/api/models", headers=bearer(ADMIN))
    for secret in (KEY, ADMIN, "not-the-key"):
        assert secret not in caplog.text
    assert "not-the-key" not in "".join(texts) and KEY not in "".join(texts[:2])
    lines = [r for r in caplog.records if r.name.endswith("access")]
    assert len(lines) == 5 and "?" not in "".join(r.getMessage() for r in lines)


def test_a_cookie_lives_as_long_as_its_key_and_no_longer() -> None:
    keys, now = Keys([KEY, OTHER], [ADMIN]), 1_000_000.0
    for key in (KEY, OTHER, ADMIN):
        holder = keys.find(key)
        assert holder is not None and holder.admin is (key == ADMIN)
        cookie = keys.cookie(holder, now)
        assert len(cookie.split(".")[1]) * 4 == 256
        restarted = Keys([OTHER, KEY], [ADMIN])
        again = restarted.read_cookie(cookie, now + LOGIN_SECONDS - 1)
        assert again is not None and (again.owner, again.admin) == (holder.owner, holder.admin)
        assert restarted.read_cookie(cookie, now + LOGIN_SECONDS) is None
        assert Keys(["a-wholly-new-key"], []).read_cookie(cookie, now) is None
        expiry, mac = cookie.split(".")
        later = f"{int(expiry) + 1}.{mac}"
        for forged in (later, f"{expiry}.{'0' * 64}", f"{expiry}.{mac.upper()}", mac, "", "."):
            assert keys.read_cookie(forged, now) is None


def test_every_key_is_compared_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability line 52"""
    keys = Keys([KEY, OTHER], [ADMIN])
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(len(a) == len(b) == 32)
        return a == b

    monkeypatch.setattr("hmac.compare_digest", compare)
    for given in (ADMIN, KEY, "x", "y" * 10_000, ""):
        compared.clear()
        keys.find(given)
        assert compared == [True] * 3


def test_a_key_that_is_both_is_an_admin() -> None:
    keys = Keys([KEY], [KEY])
    holder = keys.find(KEY)
    assert holder is not None and holder.admin
    assert not Keys([], [])


def test_waits_grow_and_are_forgotten() -> None:
    now = 0.0
    tries = Tries(lambda: now)
    waits = []
    for _ in range(FREE_TRIES + 12):
        tries.wrong("192.0.2.1")
        waits.append(tries.wait("192.0.2.1"))
        now += waits[-1]
        assert tries.wait("192.0.2.1") == 0
    slowed = waits[FREE_TRIES - 1 :]
    assert waits[: FREE_TRIES - 1] == [0] * (FREE_TRIES - 1)
    assert slowed[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert slowed == sorted(slowed) and slowed[-1] == LONGEST_WAIT
    now += 2 * 3600
    tries.wrong("192.0.2.1")
    assert tries.wait("192.0.2.1") == 0


def test_addresses_are_counted_by_network_and_bounded() -> None:
    tries = Tries(time.monotonic)
    for n in range(FREE_TRIES):
        tries.wrong(f"2001:db8::{n:x}")
        tries.wrong("::ffff:192.0.2.9")
    assert tries.wait("2001:db8::ffff") > 0 and tries.wait("2001:db8:0:1::1") == 0
    assert tries.wait("192.0.2.9") > 0
    for n in range(ADDRESSES + 100):
        tries.wrong(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    tries.wrong("x" * 100_000)
    assert len(tries._records) == ADDRESSES
    assert tries.wait("192.0.2.9") == 0  # the oldest made room
