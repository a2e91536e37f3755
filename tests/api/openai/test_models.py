"""/v1/models, and what naming a checkpoint does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from qwen_webui.engines.scripted import Script
from qwen_webui.errors import OutOfMemory
from tests.api.conftest import Served, serving
from tests.api.openai.clients import HELLO, chat, client_of
from tests.api.openai.strict import ChatCompletion, Model, strictly
from tests.api.test_generate import told
from tests.serving import soon, until


@pytest.fixture
async def swapping(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that loads what is asked for."""
    async with serving(tmp_path, settings={"allow_swap": True}) as served:
        yield served


async def names(served: Served) -> list[str]:
    body = (await served.client.get("/v1/models")).json()
    assert list(body) == ["object", "data"] and body["object"] == "list"
    return [strictly(Model, row).id for row in body["data"]]


async def test_without_swaps_there_is_one_model(served: Served) -> None:
    assert await names(served) == ["one"]
    async with client_of(served) as client:
        assert [model.id async for model in client.models.list()] == ["one"]
        model = await client.models.retrieve("one")
        assert (model.id, model.object, model.owned_by) == ("one", "model", "qwen-webui")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("two")
        assert caught.value.code == "model_not_found"


async def test_hub_ids_have_slashes(served: Served) -> None:
    spec = served.library.specs["one"]
    served.library.specs["one"] = replace(spec, hub_id="Owner/One-Instruct")
    for path in ("Owner/One-Instruct", "Owner%2FOne-Instruct", "owner/one-instruct"):
        body = (await served.client.get(f"/v1/models/{path}")).json()
        assert strictly(Model, body).id == "one"
    async with client_of(served) as client:
        assert (await client.models.retrieve("Owner/One-Instruct")).id == "one"
    body = (await chat(served, model="Owner/One-Instruct")).json()
    assert strictly(ChatCompletion, body).model == "one"


async def test_a_model_that_is_not_loaded(served: Served) -> None:
    for name in ("two", "gpt-4", "", "../../etc", "owner/name", "x" * 10_000):
        response = await chat(served, model=name)
        error = told(response)
        assert (response.status_code, error["code"], error["param"]) == (
            404,
            "model_not_found",
            "model",
        )
        assert "one" in error["message"] and len(error["message"]) < 500
    assert served.loader.loads == ["one"]


async def test_a_left_out_model_is_what_is_loaded(served: Served) -> None:
    assert strictly(ChatCompletion, (await chat(served)).json()).model == "one"


async def test_before_anything_is_loaded(tmp_path: Path) -> None:
    async with serving(tmp_path, load=False) as served:
        assert await names(served) == []
        for model in (None, "one", "gpt-4"):
            response = await chat(served, model=model)
            assert (response.status_code, told(response)["code"]) == (503, "model_not_ready")


async def test_swaps(swapping: Served) -> None:
    assert (await names(swapping))[:3] == ["one", "two", "three"]
    async with client_of(swapping) as client:
        answer = await client.chat.completions.create(model="two", messages=HELLO)
        assert answer.model == "two" and swapping.loader.loads == ["one", "two"]
        other = await client.chat.completions.create(model="two", messages=HELLO)
        assert swapping.loader.loads == ["one", "two"]
        assert other.system_fingerprint == answer.system_fingerprint
        back = await client.chat.completions.create(model="one", messages=HELLO)
        assert back.system_fingerprint != answer.system_fingerprint
    assert (await names(swapping))[0] == "one"
    missing = await chat(swapping, model="gpt-4")
    assert (missing.status_code, told(missing)["code"]) == (404, "model_not_found")


async def test_a_swap_from_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, load=False, settings={"allow_swap": True}) as served:
        assert strictly(ChatCompletion, (await chat(served, model="two")).json()).model == "two"


async def test_a_swap_that_fails_leaves_the_other(swapping: Served) -> None:
    swapping.loader.scripts["two"] = Script(load_error=OutOfMemory("Two does not fit."))
    response = await chat(swapping, model="two")
    assert (response.status_code, told(response)["code"]) == (503, "oom")
    response = await chat(swapping, model="torn")
    assert (response.status_code, told(response)["code"]) == (400, "checkpoint_invalid")
    response = await chat(swapping, model="huge")
    assert (response.status_code, told(response)["code"]) == (507, "does_not_fit")
    await until(swapping.services.manager, lambda status: status.state == "ready")
    assert (await chat(swapping, model="one")).status_code == 200


async def test_swaps_need_the_admin_s_key(tmp_path: Path) -> None:
    keys = {"api_key": "an-ordinary-key", "admin_key": "the-admins-key", "allow_swap": True}
    async with serving(tmp_path, settings=keys) as served, client_of(served) as client:
        with pytest.raises(openai.AuthenticationError) as stranger:
            await client.models.list()
        assert stranger.value.code == "invalid_api_key"
        user = client.with_options(api_key="an-ordinary-key")
        assert (await user.chat.completions.create(model="one", messages=HELLO)).model == "one"
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await user.chat.completions.create(model="two", messages=HELLO)
        assert caught.value.code == "admin_key_required"
        assert served.loader.loads == ["one"]
        admin = client.with_options(api_key="the-admins-key")
        assert (await admin.chat.completions.create(model="two", messages=HELLO)).model == "two"
        assert (await user.chat.completions.create(model="two", messages=HELLO)).model == "two"


async def test_two_clients_with_two_models(swapping: Served) -> None:
    """Each gets answers of the model it named, however the swaps interleave."""
    swapping.loader.script = Script(words=("a", "b"), delay=0.01)
    asked = ["one", "two"] * 3
    replies = await asyncio.gather(*(chat(swapping, model=name) for name in asked))
    for name, reply in zip(asked, replies, strict=True):
        if reply.status_code == 200:
            assert strictly(ChatCompletion, reply.json()).model == name
        else:
            assert (reply.status_code, told(reply)["code"]) == (503, "model_switching")
    assert sum(reply.status_code == 200 for reply in replies) >= 2


async def test_what_is_being_loaded_is_waited_for(served: Served) -> None:
    served.loader.scripts["two"] = Script(load_delay=0.3)
    served.services.manager.start_load("two")
    late = await chat(served, model="two")
    assert strictly(ChatCompletion, late.json()).model == "two"
    served.loader.scripts["three"] = Script(load_delay=0.1, load_error=OutOfMemory("No room."))
    served.services.manager.start_load("three")
    failed = await chat(served, model="three")
    assert (failed.status_code, told(failed)["code"]) == (503, "model_not_ready")
    assert "No room" in told(failed)["message"]


async def test_a_download_is_not_waited_for_forever(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"queue_timeout": 0.2}) as served:
        served.services.manager.start_load("far")
        await soon(lambda: served.library.fetching)
        response = await chat(served, model="far")
        assert (response.status_code, told(response)["code"]) == (503, "queue_timeout")
        assert strictly(ChatCompletion, (await chat(served, model="one")).json()).model == "one"


async def test_many_who_want_the_same_swap(swapping: Served) -> None:
    replies = await asyncio.gather(*(chat(swapping, model="two", n=2) for _ in range(4)))
    assert {strictly(ChatCompletion, reply.json()).model for reply in replies} == {"two"}
    assert swapping.loader.loads == ["one", "two"]


async def test_a_named_model_that_is_swapped_away_in_the_line(tmp_path: Path) -> None:
    async with serving(tmp_path, max_running=1) as served:
        served.loader.script = Script(words=("a",) * 40, delay=0.02)
        first = asyncio.create_task(chat(served, model="one"))
        await soon(lambda: served.loader.running == 1)
        served.services.manager.start_load("two")
        late = await asyncio.gather(chat(served, model="one"), chat(served, model="two"))
        assert (await first).status_code == 200
    assert (late[0].status_code, told(late[0])["code"]) == (404, "model_not_found")
    assert strictly(ChatCompletion, late[1].json()).model == "two"
