"""The routes of the Compare tab over plain HTTP: a run, what others see, and forged requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.engines.scripted import Script
from qwen_webui.errors import GenerationFailed
from qwen_webui.store import StoredMessage
from qwen_webui.types import GenerationRequest
from tests.ui.hands import until
from tests.ui.site import Site

pytestmark = pytest.mark.slow

OWNER, STRANGER = "a" * 32, "b" * 32
ANSWERS = {"demo-fp16": "The sky is blue.", "demo-gptq-int4": "The <b>sky</b> is red."}
ORDER: dict[str, Any] = {
    "checkpoints": list(ANSWERS),
    "prompts": "Which colour?\n---\nAnd why?",
    "conversation": "",
    "temperature": 0,
    "seed": None,
    "max_new_tokens": 64,
}


def visitor(site: Site, owner: str, **cookies: str) -> httpx.Client:
    kept = {"qw_owner": owner, "qw_lang": "en", **cookies}
    return httpx.Client(base_url=site.url, cookies=kept, timeout=20)


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    site.script(answer=lambda spec, request: ANSWERS.get(spec.name, "-"))
    with visitor(site, OWNER) as client:
        yield client
        now = client.get("/ui/compare/now").json()
        if now["running"]:
            client.post("/ui/compare/cancel", json={"id": now["running"]})
        until(lambda: site.services.comparisons.current() is None)
        for kept in site.call(site.services.comparisons.listed(OWNER)):
            site.call(site.services.comparisons.delete(OWNER, kept.id))


@pytest.fixture
def stranger(site: Site) -> Iterator[httpx.Client]:
    with visitor(site, STRANGER) as client:
        yield client


def started(client: httpx.Client, **changes: Any) -> str:
    answer = client.post("/ui/compare/start", json=ORDER | changes)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def ended(site: Site, client: httpx.Client, id: str) -> dict[str, Any]:
    until(lambda: site.services.comparisons.current() is None)
    now: dict[str, Any] = client.get("/ui/compare/now", params={"id": id}).json()
    assert now["active"] is False
    return now


def asked(site: Site) -> GenerationRequest:
    """The last request that is not a load's own trial."""
    return next(one for one in reversed(site.loader.requests) if one.id != "smoke")


def test_a_comparison_from_its_order_to_its_files(client: httpx.Client, site: Site) -> None:
    id = started(client)
    now = ended(site, client, id)
    parts = now["parts"]
    assert "Finished" in parts["progress"] and now["id"] == id and now["blocked"] == ""
    assert "<ins" in parts["answer-1-0"] and "<ins" not in parts["answer-0-0"]
    assert "&lt;" in parts["answer-1-1"] and "<b>" not in parts["answer-1-1"]
    assert "First difference at token 5" in parts["answer-1-0"]
    assert "Embedded demo, GPTQ Int4" in parts["column-1"] and "scripted" in parts["column-1"]
    assert "<table" in parts["chart"] and "python app.py fidelity" in parts["chart"]
    sampling = asked(site).sampling
    assert (sampling.temperature, sampling.max_new_tokens) == (0, 64)
    # Nothing new is told again.
    seen = {"id": id, "seen": now["version"]}
    assert client.get("/ui/compare/now", params=seen).status_code == 204
    listed = client.get("/ui/compare/kept").text
    assert id in listed and "Which colour? (and 1 more)" in listed
    path = f"/ui/compare/kept/{id}"
    assert client.get(f"{path}/json").json()["id"] == id
    assert "demo-gptq-int4" in client.get(f"{path}/csv").text
    file = client.get(f"{path}/md")
    assert "attachment" in file.headers["content-disposition"]
    assert "Which colour?" in file.text
    assert client.delete(path).status_code == 204
    assert client.get(f"{path}/json").status_code == 404
    assert client.get("/ui/compare/now", params={"id": id}).status_code == 404


def test_the_choice_is_the_four_precisions_and_the_conversation_where_there_is_one(
    client: httpx.Client, site: Site
) -> None:
    told = client.get("/ui/compare/choice").json()
    assert told["choice"].count(" checked") == 4 and told["askable"] is False
    store = site.services.store
    talk = site.call(store.create(OWNER, persona="general"))
    path = f"/ui/compare/choice?conversation={talk.id}"
    assert client.get(path).json()["askable"] is False
    for role, text in (("user", "Hello"), ("assistant", "Hi"), ("user", "Why?"), ("assistant", "")):
        site.call(store.append(OWNER, talk.id, [StoredMessage(role, text)]))  # type: ignore[arg-type]
    told = client.get(path).json()
    assert told["askable"] is True and "3 messages" in told["said"]
    ended(site, client, started(client, conversation=talk.id, prompts=""))
    sent = asked(site).messages
    assert [m.role for m in sent] == ["system", "user", "assistant", "user"]
    with visitor(site, STRANGER) as other:
        assert other.get(path).json()["askable"] is False


def test_others_are_told_that_they_wait_and_see_nothing_of_it(
    client: httpx.Client, stranger: httpx.Client, site: Site
) -> None:
    site.script(answer=lambda spec, request: "A secret answer. " * 9, delay=0.05)
    id = started(client, prompts="A secret prompt")
    until(lambda: "Comparing models" in stranger.get("/ui/bar").text)
    now = stranger.get("/ui/compare/now").json()
    assert now["id"] == "" and "Another visitor's comparison" in now["blocked"]
    refused = stranger.post("/ui/compare/start", json=ORDER)
    assert refused.status_code == 409
    for answer in (
        stranger.get("/ui/compare/now", params={"id": id}),
        stranger.get(f"/ui/compare/kept/{id}/json"),
        stranger.delete(f"/ui/compare/kept/{id}"),
        stranger.post("/ui/compare/cancel", json={"id": id}),
    ):
        assert answer.status_code == 404, answer.text
        assert "secret" not in answer.text
    assert "secret" not in stranger.get("/ui/bar").text + stranger.get("/ui/compare/kept").text
    mine = client.get("/ui/compare/now").json()
    assert (mine["id"], mine["running"], mine["active"]) == (id, id, True)
    assert client.post("/ui/compare/cancel", json={"id": id}).status_code == 200
    assert "Cancelled" in ended(site, client, id)["parts"]["progress"]
    until(lambda: site.services.manager.status().name == "demo-fp16")


def test_a_failed_checkpoint_shows_its_sentence(client: httpx.Client, site: Site) -> None:
    site.loader.scripts["demo-gptq-int4"] = Script(load_error=GenerationFailed("No <room> here."))
    try:
        parts = ended(site, client, started(client))["parts"]
    finally:
        site.loader.scripts.clear()
    assert "No &lt;room&gt; here." in parts["column-1"] and "failed" in parts["column-1"]
    assert "The sky is blue." in parts["answer-0-0"]


ODD: list[dict[str, Any]] = [
    {"checkpoints": "demo-fp16"},
    {"checkpoints": ["demo-fp16"]},
    {"checkpoints": ["demo-fp16", "../../etc"]},
    {"checkpoints": ["demo-fp16", 5]},
    {"checkpoints": ["x" * 5_000, "demo-fp16"]},
    {"checkpoints": [f"demo-{n}" for n in range(9)]},
    {"prompts": ""},
    {"prompts": "---\n \n---"},
    {"prompts": None},
    {"prompts": "x\n---\n" * 40},
    {"prompts": "x" * 300_000},
    {"conversation": "../x"},
    {"conversation": 5},
    {"conversation": "f" * 32},
    {"temperature": "hot"},
    {"temperature": -1},
    {"temperature": True},
    {"seed": 1.5},
    {"seed": "1"},
    {"max_new_tokens": 0},
    {"max_new_tokens": 10**9},
    {"max_new_tokens": [1]},
]


def test_an_order_that_no_page_sends_is_refused_and_loads_nothing(
    client: httpx.Client, site: Site
) -> None:
    before = list(site.loader.loads)
    for changes in ODD:
        answer = client.post("/ui/compare/start", json=ORDER | changes)
        assert answer.status_code in (400, 404, 422), (changes, answer.text)
        assert answer.json()["error"]["text"], changes
        assert "Traceback" not in answer.text and "internal_error" not in answer.text
    for content in (b"", b"[]", b"{", b'{"temperature": NaN}', b"[" * 100_000):
        headers = {"content-type": "application/json"}
        answer = client.post("/ui/compare/start", content=content, headers=headers)
        assert answer.status_code in (400, 422), content[:20]
    assert client.post("/ui/compare/start", data={"a": "b"}).status_code in (400, 415, 422)
    assert site.loader.loads == before and site.services.comparisons.current() is None


IDS = ["..", "%2e%2e", "../../x", "0" * 32, "x" * 3_000, "a%00b", "é", "'--", "<img>"]


def test_forged_ids_find_nothing(client: httpx.Client) -> None:
    calls: list[Callable[[str], httpx.Response]] = [
        lambda id: client.get("/ui/compare/now", params={"id": id}),
        lambda id: client.get(f"/ui/compare/kept/{id}/json"),
        lambda id: client.delete(f"/ui/compare/kept/{id}"),
        lambda id: client.post("/ui/compare/cancel", json={"id": id}),
    ]
    for id in IDS:
        for call in calls:
            answer = call(id)
            assert answer.status_code in (400, 404, 405), (id, answer.text)
    for odd in (None, 5, [], {}):
        body = json.dumps({"id": odd}).encode()
        headers = {"content-type": "application/json"}
        answer = client.post("/ui/compare/cancel", content=body, headers=headers)
        assert answer.status_code in (404, 422)
    assert client.get("/ui/compare/choice?conversation=../../x").json()["askable"] is False


def test_who_may_not_load_may_not_compare(tmp_path: Path) -> None:
    site = Site(tmp_path, api_key="an-ordinary-key", admin_key="the-admins-key").start()
    try:
        until(lambda: site.services.manager.status().state == "ready")
        headers = {"authorization": "Bearer an-ordinary-key"}
        with httpx.Client(base_url=site.url, headers=headers) as client:
            answer = client.post("/ui/compare/start", json=ORDER)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "admin_key_required"
            assert "admin key" in client.get("/ui/compare/now").json()["blocked"]
        assert httpx.get(f"{site.url}/ui/compare/now").status_code == 401
    finally:
        site.stop()
