"""The collaborators of one running program, built together and closed together.

The page, the API and the command line are made from this value. It holds no logic of its own.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from qwen_webui.chat import Assistant
from qwen_webui.checkpoints import Library, choose
from qwen_webui.engines.base import EngineLoader
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import CheckpointError, NotFound, SettingsError
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.settings import Settings, prepare_data_dir
from qwen_webui.store import Store

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
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


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
    own = [settings.personas] if settings.personas else []
    personas = Personas.load(builtin_folder(), *own)
    store = await Store.open(data / "conversations.sqlite3")
    manager = ModelManager(
        library,
        loader or ProcessLoader(stall_seconds=settings.stall_seconds),
        device=settings.device,
        dtype=settings.dtype,
        max_context=settings.max_context,
        max_running=settings.max_running,
        max_waiting=settings.max_waiting,
        queue_timeout=settings.queue_timeout,
        drain_seconds=settings.drain_seconds,
    )
    return Services(settings, library, manager, personas, Assistant(manager, personas), store)


def start_first_load(services: Services) -> None:
    """Begin to load what the settings ask for; the program goes on at once.

    A choice that cannot be served leaves the program up, not ready, with the reason in view.
    """
    settings = services.settings
    try:
        choice = choose(settings.model, settings.quantize, known=services.library.all())
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


async def close_services(services: Services) -> None:
    """Stop the worker and close the store. Closing twice is harmless."""
    services.stopping.set()
    await services.manager.close()
    await services.store.close()
