"""The real application on a port of this computer, with the scripted engine: what a browser sees.

Runs in a thread of the test's process, so a test can change the script and look at the engine.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from qwen_webui.api.access import AccessLayer
from qwen_webui.chat import Analyst, Assistant
from qwen_webui.checkpoints import Library
from qwen_webui.comparison import Comparisons
from qwen_webui.documents.shelf import Shelf
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.server import build_app
from qwen_webui.services import Services, close_services, make_monitor
from qwen_webui.settings import Settings, prepare_data_dir
from qwen_webui.store import Store
from qwen_webui.structured import Structured
from qwen_webui.types import PRECISIONS
from tests.folders import checkpoint_files, write_checkpoint
from tests.serving import write_tokenizer

T = TypeVar("T")
DRAIN_SECONDS = 2.0


def write_demo(folder: Path, shard_bytes: int = 4 << 20) -> Path:
    """Four checkpoints of a few megabytes of zeros, with a tokenizer that counts bytes."""
    for precision in PRECISIONS:
        files = checkpoint_files(precision, shard_bytes=shard_bytes, max_position_embeddings=4096)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            del files[name]
        write_tokenizer(write_checkpoint(folder / f"demo-{precision}", files))
    return folder


class Site:
    """Starts on `start`, with whatever lies in `data`; may be stopped and started again."""

    def __init__(self, folder: Path, loader: ScriptedLoader | None = None, **settings: Any) -> None:
        self._demo = write_demo(folder / "demo")
        usual = {"data_dir": folder / "data", "device": "cpu", "drain_seconds": DRAIN_SECONDS}
        self.settings = Settings(**(usual | settings))
        self.port = settings.get("port") or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.loader = loader or ScriptedLoader(total_memory=24 << 30)
        self.services: Services
        self.app: AccessLayer
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server
        self._thread: threading.Thread | None = None

    def start(self, first: str | None = "demo-fp16") -> Site:
        """Serve, and begin to load `first`. Returns when the port answers."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready, first)))
        self._thread.start()
        assert ready.wait(30), "the server did not start"
        return self

    def stop(self) -> None:
        """End the server; data stay."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join(20)
            assert not self._thread.is_alive(), "the server did not end"
            self._thread = None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def script(self, **changes: Any) -> None:
        """What the engine does from now on."""
        self.loader.script = Script(**changes)

    def _end(self) -> None:
        self.services.stopping.set()
        self._server.should_exit = True
        self._server.force_exit = True

    async def _serve(self, ready: threading.Event, first: str | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.services = await self._open()
        self.app = build_app(self.services)
        config = uvicorn.Config(
            self.app,
            host="127.0.0.1",
            port=self.port,
            log_config=None,
            access_log=False,
            lifespan="on",
        )
        self._server = uvicorn.Server(config)
        # Signals belong to the test's own thread.
        self._server.capture_signals = _NoSignals  # type: ignore[method-assign]
        if first:
            self.services.manager.start_load(first)
        task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.02)
        ready.set()
        await task
        await close_services(self.services)

    async def _open(self) -> Services:
        settings = self.settings
        data = prepare_data_dir(settings.data_dir)
        library = Library(
            data / "models", hub="huggingface", endpoint=None, offline=False, demo=self._demo
        )
        manager = ModelManager(
            library,
            self.loader,
            device="cpu",
            dtype="auto",
            max_context=settings.max_context,
            max_running=settings.max_running,
            max_waiting=settings.max_waiting,
            queue_timeout=settings.queue_timeout,
            drain_seconds=settings.drain_seconds,
        )
        personas = Personas.load(builtin_folder())
        store = await Store.open(data / "conversations.sqlite3")
        structured = Structured()
        assistant = Assistant(manager, personas, structured)
        documents = Shelf(store, manager.tokenizer, context=manager.context)
        analyst = Analyst(manager, personas, structured, assistant, documents)
        return Services(
            settings,
            library,
            manager,
            personas,
            assistant,
            store,
            structured,
            documents,
            analyst,
            monitor=make_monitor(settings, manager),
            comparisons=Comparisons(manager, data),
        )


class _NoSignals:
    """In place of uvicorn's handling of signals."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
