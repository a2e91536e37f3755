"""Pages of other sites and names of other hosts: what they get, with and without leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen_webui.api.hosts import answered_names, is_loopback, reachable_names
from tests.api.conftest import Served, serving
from tests.api.test_access_keys import KEY, bearer, cookie_of
from tests.api.test_generate import told

ALLOWED, EVIL = "https://app.example", "https://evil.example"
FOREIGN = {"sec-fetch-site": "cross-site"}
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def leave(response: object) -> dict[str, str]:
    headers = getattr(response, "headers", {})
    return {n: v for n, v in headers.items() if n.startswith("access-control-allow-")}


async def test_an_origin_that_was_named_may_read_and_send(tmp_path: Path) -> None:
    """reliability line 54"""
    settings = {"api_key": KEY, "cors_origin": f"https://other.example,{ALLOWED}"}
    async with serving(tmp_path, settings=settings) as served:
        ours = {"origin": ALLOWED, **FOREIGN}
        preflight = await served.client.options("/api/generate", headers=ours | ASKS)
        assert preflight.status_code == 204 and preflight.content == b""
        granted = leave(preflight)
        assert granted["access-control-allow-origin"] == ALLOWED
        assert "POST" in granted["access-control-allow-methods"]
        for name in ("authorization", "content-type", "x-api-key"):
            assert name in granted["access-control-allow-headers"]
        answer = await served.client.post(
            "/api/generate", json={"prompt": "Hi"}, headers=ours | bearer(KEY)
        )
        assert answer.status_code == 200
        assert leave(answer)["access-control-allow-origin"] == ALLOWED
        assert "Origin" in answer.headers["vary"]
        # The page must be able to read why it was refused.
        refused = await served.client.post("/api/generate", headers=ours)
        assert refused.status_code == 401 and leave(refused)

        theirs = {"origin": EVIL, **FOREIGN}
        for origin in (EVIL, ALLOWED + ".evil.example", "null", "http://app.example"):
            evil = await served.client.options(
                "/api/generate", headers=ASKS | FOREIGN | {"origin": origin}
            )
            assert evil.status_code == 401 and not leave(evil)
            read = await served.client.get("/api/models", headers={"origin": origin, **bearer(KEY)})
            assert read.status_code == 200 and not leave(read)
        sent = await served.client.post("/api/models/unload", headers=theirs | bearer(KEY))
        assert (sent.status_code, told(sent)["code"]) == (403, "forbidden")
        assert served.services.manager.status().state == "ready"


async def test_over_plain_http_the_origin_must_be_the_address_asked(tmp_path: Path) -> None:
    """There browsers do not say `sec-fetch-site`, and --insecure asks nobody for a key."""
    open_to_all = {"host": "0.0.0.0", "insecure": True, "cors_origin": ALLOWED}
    async with serving(tmp_path, settings=open_to_all) as served:

        async def unload(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            response = await served.client.post("/api/models/cancel", headers=named)
            return response.status_code

        lan = "192.168.1.20:7860"
        for origin in (EVIL, "null", "http://192.168.1.20:8000", "http://192.168.1.20", ""):
            assert await unload(host=lan, origin=origin) == 403, origin
            read = await served.client.get("/healthz", headers={"host": lan, "origin": origin})
            assert read.status_code == 200
        for allowed in ({"origin": f"http://{lan}"}, {"origin": ALLOWED}, {}):
            assert await unload(host=lan, **allowed) != 403, allowed
        # A page on another port of this computer is another site too.
        beside = {"sec_fetch_site": "same-site", "origin": "http://localhost:1234"}
        assert await unload(**beside) == 403
        own = {"sec_fetch_site": "same-origin", "origin": EVIL}
        assert await unload(**own) != 403
        # Behind a proxy that changes the name, or leaves the port out.
        proxied = {"host": "127.0.0.1:7860", "origin": "http://nas.example:8080"}
        assert await unload(**proxied) == 403
        assert await unload(**proxied, x_forwarded_host="nas.example:8080") != 403
        assert await unload(host="nas.example", origin="http://nas.example:8080") != 403


async def test_the_login_form_works_over_plain_http(tmp_path: Path) -> None:
    """Its page tells nobody where it was, so that the browser sends "null" as its origin."""
    async with serving(tmp_path, settings={"api_key": KEY, "host": "0.0.0.0"}) as served:
        lan = {"host": "192.168.1.20:7860", "origin": "null"}
        form = await served.client.post("/login", data={"key": KEY}, headers=lan)
        assert form.status_code == 303
        cookie = {"cookie": form.headers["set-cookie"].split(";")[0]}
        unload = await served.client.post("/api/models/unload", headers=lan | cookie)
        assert (unload.status_code, told(unload)["code"]) == (403, "forbidden")


async def test_any_origin_means_without_cookies(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"api_key": KEY, "cors_origin": "*"}) as served:
        cookie = await cookie_of(served, KEY)
        theirs = {"origin": EVIL, **FOREIGN}
        by_key = await served.client.post(
            "/api/generate", json={"prompt": "Hi"}, headers=theirs | bearer(KEY)
        )
        assert by_key.status_code == 200
        assert leave(by_key) == {"access-control-allow-origin": "*"}
        by_cookie = await served.client.post("/api/models/unload", headers=theirs | cookie)
        assert by_cookie.status_code == 401
        own = await served.client.post("/api/models/unload", headers=cookie)
        assert own.status_code == 200


async def test_off_unless_asked_for(served: Served) -> None:
    """reliability line 54"""
    for headers in ({"origin": EVIL, **ASKS}, {"origin": EVIL, **FOREIGN}):
        for method in ("OPTIONS", "GET"):
            response = await served.client.request(method, "/api/models", headers=headers)
            assert not leave(response)


async def test_json_that_claims_to_be_text_is_refused(tmp_path: Path) -> None:
    """reliability line 54: what a page may send anywhere without leave."""
    async with serving(tmp_path, settings={"cors_origin": ALLOWED}) as served:
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            response = await served.client.post(
                "/api/generate", content=b'{"prompt": "Hi"}', headers={"content-type": kind}
            )
            assert response.status_code == 422


async def test_names_that_were_allowed(tmp_path: Path) -> None:
    """reliability line 53"""
    async with serving(tmp_path, settings={"allowed_host": "Lab.example"}) as served:
        seen = {
            host: (await served.client.get("/healthz", headers={"host": host})).status_code
            for host in ("lab.example", "LAB.example:443", "localhost", "evil.example")
        }
    assert list(seen.values()) == [200, 200, 200, 403]


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"api_key": KEY}, 401),
        ({"api_key": KEY, "allowed_host": "lab.example"}, 403),
        ({}, 403),
    ],
)
async def test_a_server_with_a_key_answers_to_any_name(
    tmp_path: Path, settings: dict[str, str], status: int
) -> None:
    async with serving(tmp_path, settings=settings) as served:
        response = await served.client.get("/api/models", headers={"host": "evil.example"})
        assert response.status_code == status


def test_names_by_the_address_that_is_listened_on() -> None:
    own = {"localhost", "127.0.0.1", "[::1]"}
    assert answered_names("127.0.0.1", (), keyed=False) == own
    assert answered_names("127.0.0.2", (), keyed=False) == own | {"127.0.0.2"}
    assert answered_names("0.0.0.0", (), keyed=False) == frozenset()
    assert answered_names("0.0.0.0", ("a.org",), keyed=False) == own | {"0.0.0.0", "a.org"}
    assert [is_loopback(h) for h in ("localhost", "::1", "127.9.9.9", "0.0.0.0", "::", "a")] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert reachable_names("192.0.2.5") == ["192.0.2.5"]
    assert reachable_names("0.0.0.0")[-1] == "127.0.0.1"
