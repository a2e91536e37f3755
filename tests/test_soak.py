"""Many visitors and requests leave nothing behind in the process: memory, threads, files."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.folders import checkpoint_files, write_checkpoint
from tests.serving import write_tokenizer
from tests.test_server import Process

pytestmark = pytest.mark.slow
# A pool of threads grows to its bound (40 in anyio, 6 in asyncio here) as chance has it; a thread
# left behind by each visitor would be hundreds.
POOL = 46


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("soak")
    folder = write_tokenizer(write_checkpoint(root / "tiny", checkpoint_files()))
    values = ("count=20", "delay=0.001", "max_running=4", "max_waiting=4", "log_level=warning")
    process = Process(root / "data", folder, *values)
    process.wait_for("/readyz")
    yield process
    process.close()


def used(process: Process) -> tuple[int, int, int]:
    """Bytes of memory, threads and open files, once connections have closed."""
    me = psutil.Process(process.popen.pid)
    end = time.monotonic() + 20
    while me.net_connections(kind="tcp")[1:] and time.monotonic() < end:
        time.sleep(0.1)
    return me.memory_info().rss, me.num_threads(), me.num_fds()


async def visit(client: httpx.AsyncClient, number: int) -> None:
    """Open the page as a browser does, hold its stream for a moment, go away."""
    assert (await client.get("/")).status_code == 200
    beat = f"/gradio_api/heartbeat/visitor{number}"
    async with client.stream("GET", beat) as stream:
        assert await anext(stream.aiter_lines()) == "data: ALIVE"


async def ask(client: httpx.AsyncClient, number: int) -> None:
    """One of: an answer, a stream, a stream left early, a body of no use, a long prompt, a look."""
    body: dict[str, object] = {"prompt": f"Request {number}"}
    match number % 6:
        case 0:
            answer = await client.post("/api/generate", json=body)
        case 1:
            answer = await client.post("/api/generate", json=body | {"stream": True})
        case 2:
            url, streamed = "/api/generate", body | {"stream": True}
            async with client.stream("POST", url, json=streamed) as answer:
                async for _ in answer.aiter_lines():
                    break
        case 3:
            answer = await client.post("/api/generate", json={"prompt": number})
        case 4:
            long = " ".join(str(random.random()) for _ in range(2000))
            answer = await client.post("/api/generate", json={"prompt": long})
        case _:
            answer = await client.get("/api/models")
    assert answer.status_code in (200, 400, 422, 429), answer.text


async def many(process: Process, work: object, numbers: range, at_once: int) -> None:
    places = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=process.url, timeout=60, limits=limits) as client:

        async def one(number: int) -> None:
            async with places:
                await work(client, number)  # type: ignore[operator]

        await asyncio.gather(*(one(number) for number in numbers))


async def test_five_hundred_visitors_come_and_go(process: Process) -> None:
    """reliability line 8: beside the same after two hundred, which fill caches and pools."""
    await many(process, visit, range(200), 20)
    memory, threads, files = used(process)
    await many(process, visit, range(200, 700), 20)
    memory_after, threads_after, files_after = used(process)
    assert memory_after < 1.1 * memory
    assert threads_after < threads + POOL
    assert files_after <= files + 5


async def test_thousands_of_mixed_requests(process: Process) -> None:
    """reliability line 9: the slope between the second and the last thousand of five."""
    await many(process, ask, range(2000), 16)
    memory, threads, files = used(process)
    await many(process, ask, range(2000, 5000), 16)
    memory_after, threads_after, files_after = used(process)
    assert memory_after < 1.1 * memory
    assert threads_after < threads + POOL
    assert files_after <= files + 5
    assert process.get("/api/models").json()["running"] == 0
    assert "Traceback" not in process.output() and "Task exception" not in process.output()
    uploads = Path(process.data) / "uploads"
    assert not [f for f in uploads.rglob("*") if f.is_file()]
