"""GET /api/advice over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen_webui.checkpoints import catalogue
from qwen_webui.measure.surroundings import hardware
from tests.api.conftest import Served, serving
from tests.api.test_generate import told
from tests.measure.speed.reports import answers, report, row, written


@pytest.fixture
async def advised(served: Served) -> Served:
    served.library.specs |= {spec.name: spec for spec in catalogue(Path("/nowhere"))}
    return served


async def test_a_named_machine(advised: Served) -> None:
    asked = {"memory": "24", "cards": "2", "card": "RTX 4090", "use": "code", "context": "8192"}
    body = (await advised.client.get("/api/advice", params=asked)).json()
    assert body["recommended"]["name"] == "qwen2.5-14b-instruct-awq-int4"
    assert body["recommended"]["speed"]["kind"] == "estimate"
    assert body["command"].endswith("--model qwen2.5-14b-instruct-awq-int4 --max-context 8192")
    assert len(body["machine"]["cards"]) == 2 and body["machine"]["assumed"] is True
    assert any("Of 2 cards this program uses one" in one["text"] for one in body["warnings"])
    assert [one["kind"] for one in body["runners_up"]] == ["larger", "more_faithful", "smaller"]
    assert all(one["source"] for one in body["reasons"])


async def test_this_machine_counts_what_the_loaded_model_gives_back(advised: Served) -> None:
    models = (await advised.client.get("/api/models")).json()
    body = (await advised.client.get("/api/advice", params={"context": 512})).json()
    assert body["machine"]["free"] == models["checkpoints"][0]["forecast"]["free"]
    assert body["machine"]["assumed"] is False
    assert body["recommended"]["fits"]
    assert body["recommended"]["needed"] <= body["machine"]["free"]


async def test_what_was_measured_on_this_machine_is_told(advised: Served) -> None:
    room = await advised.services.manager.room()
    data, names = advised.services.settings.data_dir, [s.name for s in advised.library.all()]
    rows = [row(name, answers(123.0)) for name in names]
    written(data, "x", report("another machine", *rows))
    ask = {"context": 512}
    before = (await advised.client.get("/api/advice", params=ask)).json()["recommended"]["speed"]
    assert before["kind"] != "measured"
    written(data, "y", report(hardware(room), *rows))
    after = (await advised.client.get("/api/advice", params=ask)).json()["recommended"]["speed"]
    assert (after["kind"], after["tokens_per_second"]) == ("measured", 123.0)
    named = {"memory": "24", "cards": "1", "card": "RTX 4090"}
    other = (await advised.client.get("/api/advice", params=named)).json()["recommended"]["speed"]
    assert other["kind"] == "estimate"


async def test_the_language_is_the_querys_else_the_browsers(advised: Served) -> None:
    params = {"memory": "8", "cards": "1"}
    headers = {"accept-language": "zh-CN,zh;q=0.9"}
    chinese = (await advised.client.get("/api/advice", params=params, headers=headers)).json()
    assert "指南" in chinese["reasons"][1]["text"]
    params["language"] = "en"
    english = (await advised.client.get("/api/advice", params=params, headers=headers)).json()
    assert "guide" in english["reasons"][1]["text"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"context": "131073"}, "context"),
        ({"use": "poetry"}, "use"),
        ({"memory": "nan"}, "memory"),
        ({"memory": "0"}, "memory"),
        ({"cards": "2"}, "memory"),
        ({"memory": "8", "cards": "65"}, "cards"),
        ({"language": "de"}, "language"),
        ({"contxt": "2048"}, "contxt"),
    ],
)
async def test_what_cannot_be_is_refused(
    served: Served, params: dict[str, str], param: str
) -> None:
    response = await served.client.get("/api/advice", params=params)
    assert (response.status_code, told(response)["param"]) == (422, param)


async def test_without_the_card_that_was_asked_for_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    async with serving(tmp_path, load=False, device="cuda") as served:
        body = (await served.client.get("/api/advice")).json()
        assert body["recommended"] is None and "--device cuda" in body["missing"]


async def test_a_key_is_needed_as_for_the_models(tmp_path: Path) -> None:
    async with serving(tmp_path, load=False, settings={"api_key": ("a" * 24,)}) as served:
        for path in ("/api/models", "/api/advice"):
            assert (await served.client.get(path)).status_code == 401
        headers = {"authorization": f"Bearer {'a' * 24}"}
        assert (await served.client.get("/api/advice", headers=headers)).status_code == 200
