"""The API behind its access layer on a real port, with the scripted engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn

from qwen_webui.api.access import AccessLayer
from qwen_webui.api.connection import GuardedProtocol
from qwen_webui.api.routes import build_api
from qwen_webui.chat import Analyst, Assistant
from qwen_webui.checkpoints import Library
from qwen_webui.comparison import Comparisons
from qwen_webui.documents.shelf import Shelf
from qwen_webui.engines.scripted import ScriptedLoader
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.server import Server, bind
from qwen_webui.services import Services, close_services, make_monitor
from qwen_webui.settings import Settings
from qwen_webui.store import Store
from qwen_webui.structured import Structured
from tests.serving import FakeLibrary, make_manager


class PromptServer(Server):
    """As the program's, but it looks ten times as often whether it should end: hundreds of tests
    wait for that."""

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            await asyncio.sleep(0.01)


@dataclass
class Served:
    """A server, everything behind it, and a client in front of it."""

    client: httpx.AsyncClient
    services: Services
    library: FakeLibrary
    loader: ScriptedLoader
    port: int
    layer: AccessLayer

    async def generate(self, prompt: str = "Hi", **fields: Any) -> httpx.Response:
        return await self.client.post("/api/generate", json={"prompt": prompt, **fields})


@asynccontextmanager
async def serving(
    tmp_path: Path,
    loader: ScriptedLoader | None = None,
    *,
    load: bool = True,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[Served]:
    """`changes` are the manager's; `settings` are the others; `one` is loaded unless `load` is
    False."""
    loader = loader or ScriptedLoader()
    library = FakeLibrary(tmp_path / "tokenizer")
    manager = make_manager(library, loader, **changes)
    personas = Personas.load(builtin_folder())
    structured = Structured()
    store = await Store.open(tmp_path / "store.sqlite3")
    assistant = Assistant(manager, personas, structured)
    documents = Shelf(store, manager.tokenizer, context=manager.context)
    given = Settings(data_dir=tmp_path, **(settings or {}))
    services = Services(
        given,
        cast(Library, library),
        manager,
        personas,
        assistant,
        store,
        structured,
        documents,
        Analyst(manager, personas, structured, assistant, documents),
        monitor=make_monitor(given, manager),
        comparisons=Comparisons(manager, tmp_path),
    )
    if load:
        await manager.load("one")
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    app = AccessLayer(build_api(services), services)
    config = uvicorn.Config(
        app, http=GuardedProtocol, ws="none", log_config=None, timeout_graceful_shutdown=1
    )
    server = PromptServer(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        # More connections than any test opens at once.
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            # Plain http: to read every authority of the machine would only take time.
            base_url=f"http://127.0.0.1:{port}",
            timeout=30,
            limits=limits,
            verify=False,
        ) as client:
            yield Served(client, services, library, loader, port, app)
    finally:
        server.should_exit = True
        await running
        await close_services(services)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as parts:
        yield parts
