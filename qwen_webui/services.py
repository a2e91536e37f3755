"""The collaborators of one running program, built together and closed together.

The page, the API and the command line are made from this value. It holds no logic of its own.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from qwen_webui.chat import Analyst, Assistant
from qwen_webui.checkpoints import Choice, ExternalLibrary, Library, choose
from qwen_webui.comparison import Comparisons
from qwen_webui.documents.shelf import Shelf
from qwen_webui.engines.base import EngineLoader
from qwen_webui.engines.openai import OpenAILoader
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import CheckpointError, NotFound, SettingsError, WebUIError
from qwen_webui.measure.monitor import Monitor
from qwen_webui.memory import machine_memory
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.setting_kinds import amount_bytes
from qwen_webui.settings import Settings, prepare_data_dir
from qwen_webui.store import Store
from qwen_webui.structured import Structured

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """What the front ends need. `stopping` is set when the server begins to shut down."""

    settings: Settings
    library: Library
    manager: ModelManager
    personas: Personas
    assistant: Assistant
    store: Store
    structured: Structured
    documents: Shelf
    analyst: Analyst
    monitor: Monitor
    comparisons: Comparisons
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def folder(self) -> Path | None:
        """Of the loaded checkpoint, if there is one and its files are here."""
        info = self.manager.status().info
        return Path(info.checkpoint.folder) if info and info.checkpoint.folder else None


async def open_services(settings: Settings, loader: EngineLoader | None = None) -> Services:
    """Open the data folder, the store and a manager that holds nothing yet.

    `loader` is the seam for tests; without it a worker process owns the device. Raises
    SettingsError and StoreError with a sentence for the console.
    """
    data = prepare_data_dir(settings.data_dir)
    library = Library(
        data / "models",
        hub=settings.hub,
        endpoint=settings.hub_endpoint,
        offline=settings.offline,
    )
    if settings.engine_url and loader is None:
        library, loader = await _elsewhere(settings, settings.engine_url, library)
    own = [settings.personas] if settings.personas else []
    personas = Personas.load(builtin_folder(), *own)
    store = await Store.open(data / "conversations.sqlite3")
    manager = ModelManager(
        library,
        loader or ProcessLoader(stall_seconds=settings.stall_seconds),
        device="cpu" if settings.engine_url else settings.device,
        dtype=settings.dtype,
        max_context=settings.max_context,
        engine_path=settings.engine_path,
        host_cache=amount_bytes(settings.host_cache, machine_memory("cpu").free),
        max_running=settings.max_running,
        max_waiting=settings.max_waiting,
        queue_timeout=settings.queue_timeout,
        drain_seconds=settings.drain_seconds,
    )
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
        comparisons=await asyncio.to_thread(Comparisons, manager, data),
    )


def make_monitor(settings: Settings, manager: ModelManager) -> Monitor:
    """Not yet running. Where another server computes, this machine is watched and not its card."""
    wanted = "cpu" if settings.engine_url else settings.device
    return Monitor(manager, wanted, settings.memory_warning)


def start_first_load(services: Services) -> None:
    """Begin to load what the settings ask for; the program goes on at once.

    A choice that cannot be served leaves the program up, not ready, with the reason in view.
    """
    settings = services.settings
    try:
        choice = _choice(services)
        if choice.spec.folder and choice.spec.family == "local":
            services.library.add_folder(Path(choice.spec.folder))
    except (CheckpointError, NotFound, SettingsError) as error:
        log.error("%s", error.message)
        services.manager.fail(error)
        return
    notes = list(choice.notes)
    if settings.trust_remote_code:
        notes.append(
            "--trust_remote_code was accepted and has no effect: code that comes with a "
            "checkpoint never runs."
        )
    for note in notes:
        log.info("%s", note)
    services.manager.start_load(choice.spec.name, notes=tuple(notes))


def _choice(services: Services) -> Choice:
    settings, library = services.settings, services.library
    if isinstance(library, ExternalLibrary):
        return library.choose(settings.model, settings.quantize)
    return choose(settings.model, settings.quantize, known=library.all())


async def _elsewhere(
    settings: Settings, url: str, local: Library
) -> tuple[ExternalLibrary, OpenAILoader]:
    """The models of another server, and the way to them."""
    key = settings.engine_key.get_secret_value() if settings.engine_key else None
    loader = OpenAILoader(url, key, settings.stall_seconds)
    try:
        told = [(model.name, model.context) for model in await loader.models()]
        return ExternalLibrary(told, local, settings.max_context), loader
    except SettingsError:
        await loader.close()
        raise
    except WebUIError as error:
        await loader.close()
        raise SettingsError(f"--engine-url cannot be used. {error.message}") from error


async def read_ahead(services: Services) -> None:
    """Whenever another model is ready, let constraints be read for it before anybody asks. Until
    cancelled; for programs that serve more than one answer."""
    read, status = None, services.manager.status()
    while True:
        if status.state == "ready" and status.info != read:
            read = status.info
            await services.structured.read_ahead(services.folder)
        status = await services.manager.changed(status)


async def close_services(services: Services) -> None:
    """Stop the worker and the checker, and close the store. Closing twice is harmless."""
    services.stopping.set()
    await services.comparisons.close()
    await services.manager.close()
    await services.structured.close()
    await services.documents.close()
    await services.store.close()
