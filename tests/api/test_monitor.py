"""/metrics and /api/monitor over real connections, read back with Prometheus' own parser."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import OutOfMemory
from tests.api.conftest import Served, serving
from tests.serving import soon

KEY = "the-scrapers-key"
ONE = {"model": "one", "precision": "fp16"}


async def scraped(served: Served) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name and labels."""
    answer = await served.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            values = found.setdefault(sample.name.removeprefix("qwen_webui_"), {})
            values[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def at(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


async def test_counts_agree_with_the_requests_that_were_made(tmp_path: Path) -> None:
    loader = ScriptedLoader()
    async with serving(tmp_path, loader) as served:
        answers = [(await served.generate("Tell me")).json()["usage"] for _ in range(3)]
        loader.script = Script(fail_at=0, error=OutOfMemory("No room."))
        assert (await served.generate("Fail")).status_code == OutOfMemory.status
        loader.script = Script(hang_at=2)
        hanging = asyncio.create_task(served.generate("Go away"))
        await soon(lambda: served.services.manager.tally.tokens > 0 and loader.running > 0)
        hanging.cancel()
        await soon(lambda: loader.running == 0)
        loader.script = Script()
        await served.services.manager.load("two")
        await served.services.monitor.take()
        found = await scraped(served)
    requests = found["requests_total"]
    assert requests[at(**ONE, reason="stop")] == 3
    assert requests[at(**ONE, reason="error")] == 1
    assert requests[at(**ONE, reason="cancelled")] == 1
    assert sum(requests.values()) == 5
    assert found["errors_total"] == {at(code=OutOfMemory.code): 1}
    assert found["model_loads_total"] == {at(reason="loaded"): 2}
    prompt = sum(usage["prompt_tokens"] for usage in answers)
    assert found["prompt_tokens_total"][at(**ONE)] == prompt
    whole = sum(usage["completion_tokens"] for usage in answers)
    # Those of the answer that was given up are counted too.
    assert whole <= found["completion_tokens_total"][at(**ONE)] <= whole + 2
    for name in ("time_to_first_token_seconds", "request_seconds"):
        assert found[f"{name}_count"][at(**ONE)] == 3
        buckets = {dict(key)["le"]: value for key, value in found[f"{name}_bucket"].items()}
        assert buckets["+Inf"] == 3 and list(buckets.values()) == sorted(buckets.values())
    sums = sum(usage["seconds"] for usage in answers)
    assert abs(found["request_seconds_sum"][at(**ONE)] - sums) < 0.01
    assert found["model_info"] == {at(model="two", precision="fp16", device="cpu"): 1}
    assert (found["ready"][()], found["requests_running"][()]) == (1, 0)


async def test_readings_are_those_of_the_latest_sample(served: Served) -> None:
    assert "device_memory_used_bytes" not in await scraped(served)
    monitor = served.services.monitor
    sample = await monitor.take()
    found = await scraped(served)
    assert found["device_memory_used_bytes"][()] == sample.memory_used
    assert found["device_memory_size_bytes"][()] == sample.memory_total
    parts = found["memory_part_bytes"]
    assert parts[at(part="weights")] == sample.weights
    assert sum(parts.values()) == sample.memory_used
    assert "device_power_watts" not in found
    crossed = float(monitor.threshold.crossed)
    assert found["memory_warning"][()] == crossed
    assert found["memory_warnings_total"][()] == crossed


async def test_both_ask_for_the_key(tmp_path: Path) -> None:
    async with serving(tmp_path, settings={"api_key": KEY}) as served:
        for path in ("/metrics", "/api/monitor"):
            refused = await served.client.get(path)
            assert refused.status_code == 401, path
            assert refused.headers["www-authenticate"] == "Bearer"
            assert "qwen_webui" not in refused.text
            headers = {"authorization": f"Bearer {KEY}"}
            assert (await served.client.get(path, headers=headers)).status_code == 200
            wrong = {"authorization": "Bearer something-else"}
            assert (await served.client.get(path, headers=wrong)).status_code == 401


async def history(served: Served, **query: int) -> httpx.Response:
    return await served.client.get("/api/monitor", params=query)


async def test_the_history_is_sent_when_it_is_asked_for(served: Served) -> None:
    nothing = (await history(served, seconds=60)).json()
    assert (nothing["latest"], nothing["history"]) == (None, None)
    samples = [await served.services.monitor.take() for _ in range(4)]
    told = (await history(served)).json()
    assert told["history"] is None and told["device"] == "cpu"
    assert told["memory_warning_percent"] == 92
    assert told["latest"]["memory_used"] == samples[-1].memory_used
    assert told["latest"]["power"] is None
    whole = (await history(served, seconds=60, points=1)).json()["history"]
    assert whole["step"] == 60
    assert {len(column) for column in whole["columns"].values()} == {len(whole["times"])}
    fullest = max(sample.memory_used or 0 for sample in samples)
    assert max(whole["columns"]["memory_used"]) == fullest
    for query in ({"seconds": 4000}, {"seconds": 60, "points": 0}, {"seconds": -1}):
        refused = await history(served, **query)
        assert refused.status_code == 422 and refused.json()["error"]["param"] in query
