"""Loads, states, personas and health over real HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import GenerationFailed
from tests.api.conftest import Served, serving
from tests.api.test_generate import told
from tests.serving import soon, until


async def test_models_tells_everything(served: Served) -> None:
    body = (await served.client.get("/api/models")).json()
    assert (body["state"], body["name"], body["target"], body["error"]) == (
        "ready",
        "one",
        None,
        None,
    )
    assert body["info"]["kernel"] == "scripted" and body["info"]["max_context"] == 4096
    used = 306 << 20  # the scripted worker's 256 MB and the checkpoint's 50
    assert body["memory"]["used_by_engine"] == used
    rows = {row["name"]: row for row in body["checkpoints"]}
    assert list(rows) == list(served.library.specs)
    forecast = rows["two"]["forecast"]
    parts = ("weights", "kv_cache", "activations", "overhead")
    assert forecast["needed"] == sum(forecast[part] for part in parts) and forecast["fits"]
    assert not rows["huge"]["forecast"]["fits"]
    assert str(served.library.folder) not in str(body)


async def test_without_the_card_that_was_asked_for_the_list_says_that_nothing_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    async with serving(tmp_path, load=False, device="cuda") as served:
        body = (await served.client.get("/api/models")).json()
        assert (body["memory"]["device_name"], body["memory"]["total"]) == ("no card", 0)
        assert body["checkpoints"]
        assert not any(row["forecast"]["fits"] for row in body["checkpoints"])
        load = {"name": "two", "wait": True}
        response = await served.client.post("/api/models/load", json=load)
        assert (response.status_code, told(response)["code"]) == (503, "device_unusable")


async def test_a_load_is_accepted_at_once(served: Served) -> None:
    served.loader.script = Script(load_delay=0.4)
    response = await served.client.post("/api/models/load", json={"name": "two"})
    body = response.json()
    assert (response.status_code, body["state"], body["target"]) == (202, "swapping", "two")
    ready = await served.client.get("/readyz")
    assert ready.status_code == 503 and int(ready.headers["retry-after"]) >= 1
    assert told(ready)["code"] == "model_not_ready"
    # A request that comes now is served by what is being loaded.
    assert (await served.generate()).json()["model"] == "two"
    assert (await served.client.get("/readyz")).json() == {"status": "ready", "model": "two"}


async def test_a_load_that_is_waited_for(served: Served) -> None:
    response = await served.client.post("/api/models/load", json={"name": "two", "wait": True})
    body = response.json()
    assert response.status_code == 200
    assert (body["name"], body["previous"], body["freed"]) == ("two", "one", 50 << 20)
    assert body["forecast"]["fits"] and body["seconds"] > 0
    assert (await served.client.get("/api/models")).json()["last_swap"] == body


async def test_two_loads_at_once(served: Served) -> None:
    """reliability line 29"""
    served.loader.script = Script(load_delay=0.3)
    first = await served.client.post("/api/models/load", json={"name": "two"})
    refused = await served.client.post("/api/models/load", json={"name": "one", "wait": False})
    second = await served.client.post("/api/models/load", json={"name": "three", "wait": True})
    assert (first.status_code, refused.status_code, second.status_code) == (202, 409, 200)
    assert told(refused)["code"] == "conflict" and second.json()["previous"] == "two"
    assert served.loader.loads == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("torn", 422, "checkpoint_invalid"), ("huge", 507, "does_not_fit"), ("no", 404, "not_found")],
)
async def test_a_load_that_fails(served: Served, name: str, status: int, code: str) -> None:
    """reliability line 28"""
    response = await served.client.post("/api/models/load", json={"name": name, "wait": True})
    assert (response.status_code, told(response)["code"]) == (status, code)
    assert (await served.client.get("/readyz")).json()["model"] == "one"
    assert (await served.generate()).json()["model"] == "one"


async def test_an_unknown_name_is_refused_at_once(served: Served) -> None:
    response = await served.client.post("/api/models/load", json={"name": "no"})
    assert (response.status_code, told(response)["param"]) == (404, "name")
    assert (await served.client.get("/readyz")).status_code == 200


async def test_a_load_in_the_background_tells_how_it_failed(served: Served) -> None:
    served.loader.scripts = {"two": Script(fail_at=0, error=GenerationFailed("NaN."))}
    await served.client.post("/api/models/load", json={"name": "two"})
    await until(served.services.manager, lambda s: s.state == "ready")
    body = (await served.client.get("/api/models")).json()
    assert (body["name"], body["error"], body["error_code"]) == (
        "one",
        "NaN.",
        "generation_failed",
    )


async def test_a_load_is_cancelled(served: Served) -> None:
    """reliability line 30"""
    served.loader.scripts = {"two": Script(load_delay=60)}
    load = asyncio.create_task(
        served.client.post("/api/models/load", json={"name": "two", "wait": True})
    )
    await soon(lambda: served.loader.loads == ["one", "two"])
    body = (await served.client.post("/api/models/cancel")).json()
    assert (body["state"], body["name"]) == ("ready", "one")
    response = await load
    assert (response.status_code, told(response)["code"]) == (409, "load_cancelled")


async def test_progress_of_a_download(served: Served) -> None:
    await served.client.post("/api/models/load", json={"name": "far"})
    await until(served.services.manager, lambda s: s.state == "downloading")
    body = (await served.client.get("/api/models")).json()
    assert body["progress"] == {"stage": "downloading", "done": 10, "total": 100, "unit": "bytes"}
    assert (await served.generate()).json()["model"] == "one"
    served.library.arrived.set()
    await until(served.services.manager, lambda s: s.state == "ready")


async def test_unload(served: Served) -> None:
    body = (await served.client.post("/api/models/unload")).json()
    assert (body["state"], body["name"]) == ("empty", None)
    response = await served.generate()
    assert (response.status_code, told(response)["code"]) == (503, "model_not_ready")
    assert (await served.client.get("/readyz")).status_code == 503
    assert (await served.client.get("/healthz")).json() == {"status": "ok"}


async def test_before_the_first_load_is_done(tmp_path: Path) -> None:
    loader = ScriptedLoader(Script(load_delay=5))
    async with serving(tmp_path, loader, load=False) as served:
        served.services.manager.start_load("one")
        response = await served.generate()
        assert (response.status_code, told(response)["code"]) == (503, "model_not_ready")
        assert int(response.headers["retry-after"]) >= 1


async def test_a_failed_first_load_is_the_reason_for_not_being_ready(tmp_path: Path) -> None:
    async with serving(tmp_path, load=False) as served:
        served.services.manager.start_load("huge")
        await until(served.services.manager, lambda s: s.state == "failed")
        response = await served.client.get("/readyz")
        assert (response.status_code, told(response)["code"]) == (503, "does_not_fit")
        assert "GiB" in told(response)["message"]


async def test_twenty_swaps_with_requests_between(served: Served) -> None:
    """reliability line 27, by counts"""
    names = ("one", "two", "three")
    served.loader.scripts = {n: Script(words=(n,) * 5, delay=0.001) for n in names}
    seen = []

    async def keep_asking() -> None:
        while True:
            seen.append(await served.generate())

    crowd = [asyncio.create_task(keep_asking()) for _ in range(3)]
    for number in range(1, 21):
        body = {"name": names[number % 3], "wait": True}
        assert (await served.client.post("/api/models/load", json=body)).status_code == 200
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert len(seen) > 20 and {r.status_code for r in seen} == {200}
    for response in seen:
        assert set(response.json()["text"].split()) == {response.json()["model"]}


async def test_personas(served: Served) -> None:
    rows = (await served.client.get("/api/personas")).json()["personas"]
    known = served.services.personas.all()
    assert [row["id"] for row in rows] == [persona.id for persona in known]
    assert rows[0]["system"] == {"en": known[0].system.en, "zh": known[0].system.zh}
    assert all(None not in row["sampling"].values() for row in rows)


async def test_other_paths_and_methods(served: Served) -> None:
    missing = [("GET", "/api/nothing"), ("POST", "/api/nothing/at/all"), ("GET", "/api")]
    missing += [("GET", "/v1/nothing"), ("DELETE", "/v1"), ("POST", "/v1/embeddings")]
    wrong = [("GET", "/api/generate"), ("DELETE", "/api/models"), ("POST", "/healthz")]
    wrong += [("PUT", "/readyz"), ("POST", "/api/openapi.json"), ("POST", "/openapi.json")]
    wrong += [("POST", "/v1/models"), ("DELETE", "/v1/models/one"), ("POST", "/docs")]
    wrong += [("GET", "/v1/chat/completions"), ("PUT", "/v1/completions")]
    for method, path in missing:
        response = await served.client.request(method, path)
        assert (response.status_code, told(response)["code"]) == (404, "not_found"), path
    for method, path in wrong:
        response = await served.client.request(method, path)
        assert (response.status_code, told(response)["code"]) == (405, "method_not_allowed"), path
        assert method not in response.headers["allow"].split(", ")
