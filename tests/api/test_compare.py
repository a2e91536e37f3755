"""The routes of comparisons over real HTTP."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen_webui.engines.scripted import Script
from tests.api.conftest import Served, serving
from tests.api.test_generate import told
from tests.serving import soon

BODY: dict[str, Any] = {"checkpoints": ["one", "two"], "prompts": ["Hi"]}


async def begin(served: Served, headers: dict[str, str] | None = None, **more: Any) -> str:
    response = await served.client.post("/api/compare", json=BODY | more, headers=headers)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def at_rest(served: Served) -> None:
    await soon(lambda: served.services.comparisons.current() is None)


async def test_from_start_to_end(served: Served) -> None:
    served.loader.scripts = {"two": Script(words=("Echo:", "Ho"))}
    id = await begin(served, system="Be brief.", max_new_tokens=9)
    await at_rest(served)
    found = (await served.client.get(f"/api/compare/{id}")).json()
    assert (found["state"], found["previous"], found["titles"]) == ("done", "one", ["Hi"])
    assert [c["checkpoint"] for c in found["columns"]] == ["one", "two"]
    answer = found["columns"][1]["answers"][0]
    assert (answer["text"], answer["equal"], answer["ended"]) == ("Echo: Ho", False, "stop")
    assert answer["difference"]["text"] == "Ho" and answer["usage"]["completion_tokens"] == 2
    listed = (await served.client.get("/api/compare")).json()["comparisons"]
    assert [entry["id"] for entry in listed] == [id]
    for format, kind in (
        ("json", "application/json"),
        ("csv", "text/csv"),
        ("markdown", "text/markdown"),
    ):
        url = f"/api/compare/{id}/export"
        file = await served.client.get(url, params={"format": format})
        assert file.status_code == 200 and "Echo: Ho" in file.text
        assert file.headers["content-type"].startswith(kind)
        assert "attachment" in file.headers["content-disposition"]
    assert (await served.client.delete(f"/api/compare/{id}")).status_code == 204
    assert (await served.client.get(f"/api/compare/{id}")).status_code == 404


async def test_by_precision_of_the_loaded_model(served: Served) -> None:
    library = served.library
    library.specs["two"] = dataclasses.replace(library.specs["two"], precision="awq-int4")
    for name in ("three", "torn", "far", "huge"):
        library.specs[name] = dataclasses.replace(library.specs[name], size="other")
    asked = {"precisions": ["awq-int4", "fp16"], "messages": [{"role": "user", "content": "Hi"}]}
    response = await served.client.post("/api/compare", json=asked)
    assert response.json()["checkpoints"] == ["two", "one"]
    await at_rest(served)
    refused = await served.client.post("/api/compare", json=asked | {"precisions": ["gptq-int8"]})
    assert (refused.status_code, told(refused)["param"]) == (404, "precisions")


async def test_others_wait_know_why_and_get_the_model_from_before(served: Served) -> None:
    client = served.client
    served.loader.scripts = {"two": Script(words=("word",) * 20, delay=0.02)}
    id = await begin(served)
    await soon(lambda: served.services.manager.status().held_progress is not None)
    ready = await client.get("/readyz")
    assert ready.status_code == 503 and "being compared" in told(ready)["message"]
    state = (await client.get("/api/models")).json()
    assert "being compared" in state["held_for"] and state["held_progress"]["total"] == 2
    assert state["name"] == "one"
    for path, body in (
        ("/api/models/load", {"name": "three"}),
        ("/api/models/unload", None),
        ("/api/compare", BODY),
    ):
        refused = await client.post(path, json=body)
        assert (refused.status_code, told(refused)["code"]) == (409, "conflict"), path
    events = []
    async with client.stream(
        "POST", "/api/generate", json={"prompt": "Hi", "stream": True}
    ) as stream:
        async for line in stream.aiter_lines():
            events.append(line)
    assert events[0] == "event: queued" and '"why":"Checkpoints are being compared' in events[1]
    assert '"model":"one"' in "".join(events)
    await at_rest(served)
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.get(f"/api/compare/{id}")).json()["state"] == "done"


async def test_delete_ends_the_one_under_way(served: Served) -> None:
    id = await begin(served)
    served.loader.scripts = {"two": Script(load_delay=30)}
    await soon(lambda: served.loader.loads[-1] == "two")
    assert (await served.client.delete(f"/api/compare/{id}")).status_code == 204
    await at_rest(served)
    found = (await served.client.get(f"/api/compare/{id}")).json()
    assert found["state"] == "cancelled"
    assert found["columns"][0]["answers"][0]["text"] == "Echo: Hi"


async def test_only_who_may_load_begins_and_only_the_owner_sees(tmp_path: Path) -> None:
    keys = {"api_key": "ordinary-key", "admin_key": "admins-key"}
    async with serving(tmp_path, settings=keys) as served:
        mine = {"authorization": "Bearer admins-key"}
        other = {"authorization": "Bearer ordinary-key"}
        refused = await served.client.post("/api/compare", json=BODY, headers=other)
        assert (refused.status_code, told(refused)["code"]) == (403, "admin_key_required")
        id = await begin(served, headers=mine)
        await at_rest(served)
        for method, path in (("GET", ""), ("GET", "/export"), ("DELETE", "")):
            url = f"/api/compare/{id}{path}"
            response: httpx.Response = await served.client.request(method, url, headers=other)
            assert (response.status_code, told(response)["param"]) == (404, "id")
        own = await served.client.get("/api/compare", headers=other)
        assert own.json() == {"comparisons": []}
        assert (await served.client.get(f"/api/compare/{id}", headers=mine)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 422, "checkpoints"),
        (BODY | {"precisions": ["fp16"]}, 422, "checkpoints"),
        ({"checkpoints": ["one"]}, 422, "prompts"),
        (BODY | {"messages": []}, 422, "prompts"),
        (BODY | {"checkpoints": []}, 422, "checkpoints"),
        (BODY | {"checkpoints": ["one", "one"]}, 422, "checkpoints"),
        (BODY | {"checkpoints": ["none"]}, 404, "name"),
        (BODY | {"prompts": []}, 422, "prompts"),
        (BODY | {"prompts": ["x"] * 21}, 422, "prompts"),
        (BODY | {"prompts": ["long " * 2000]}, 400, "prompts"),
        (BODY | {"temperature": 9}, 422, "temperature"),
        (BODY | {"nothing": 1}, 422, "nothing"),
    ],
)
async def test_what_is_wrong_is_named(
    served: Served, body: dict[str, Any], status: int, param: str
) -> None:
    response = await served.client.post("/api/compare", json=body)
    assert (response.status_code, told(response)["param"]) == (status, param), response.text
    assert served.loader.loads == ["one"]


async def test_unknown_parameters_are_refused(served: Served) -> None:
    for path in ("/api/compare?x=1", "/api/compare/a/export?formt=csv"):
        response = await served.client.get(path)
        assert response.status_code == 422, path
    response = await served.client.get("/api/compare/a/export?format=pdf")
    assert response.status_code == 422
