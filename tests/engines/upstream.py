"""A server of our own, with a real worker, for engines that ask another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from qwen_webui.api.access import AccessLayer
from qwen_webui.api.routes import build_api
from qwen_webui.engines.base import EngineLoader
from qwen_webui.server import bind
from qwen_webui.services import close_services, open_services
from qwen_webui.settings import Settings


@asynccontextmanager
async def upstream(
    folder: Path, data: Path, loader: EngineLoader | None = None, **settings: Any
) -> AsyncIterator[str]:
    """The address of its /v1; the checkpoint in `folder` is loaded."""
    values: dict[str, Any] = {"device": "cpu", "dtype": "float32", "max_context": 16_384}
    services = await open_services(Settings(data_dir=data, **(values | settings)), loader)
    try:
        await services.manager.load(services.library.add_folder(folder).name)
        async with listening(AccessLayer(build_api(services), services)) as address:
            yield f"{address}/v1"
    finally:
        await close_services(services)


@asynccontextmanager
async def listening(app: Any, port: int = 0) -> AsyncIterator[str]:
    """The address of `app` on this computer, at a free port unless one is given."""
    listener = bind("127.0.0.1", port)
    server = Server(uvicorn.Config(app, ws="none", log_config=None, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()


class Server(uvicorn.Server):
    """Without handlers for signals: those belong to the tests."""

    def capture_signals(self) -> Any:
        """Nothing is captured."""
        return _Nothing()


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
