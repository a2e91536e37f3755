"""A model manager over the scripted engine, and checkpoints to load that cost nothing.

A word is a token to the scripted engine; the tokenizers here count a byte as one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from qwen_webui.checkpoints import Library
from qwen_webui.engines.scripted import ScriptedLoader
from qwen_webui.errors import CheckpointError, NotFound
from qwen_webui.models import ModelManager
from qwen_webui.types import CheckpointSpec, ModelShape, ModelStatus, Progress

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = ModelShape(2, 2, 1, 8, 16, 32, 259, True, 4096)
MEGABYTES = 1 << 20


def spec(name: str, weights: int = 50 * MEGABYTES) -> CheckpointSpec:
    return CheckpointSpec(name, name.title(), "local", "tiny", "fp16", "none", weights, SHAPE)


def write_tokenizer(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(CONTROL))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"chat_template": TEMPLATE, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


class FakeLibrary:
    """`one`, `two` and `three` load at once; `huge` fits no machine; `torn` has damaged files;
    `far` is downloaded until `arrived` is set."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_tokenizer(folder)
        names = ("one", "two", "three", "torn", "far")
        self.specs = {name: spec(name) for name in names}
        self.specs["huge"] = spec("huge", 1 << 50)
        self.arrived = asyncio.Event()
        self.fetching = False

    def all(self) -> tuple[CheckpointSpec, ...]:
        return tuple(self.specs.values())

    def get(self, name: str) -> CheckpointSpec:
        if name not in self.specs:
            raise NotFound(f"There is no checkpoint {name!r}.", param="name")
        return self.specs[name]

    async def fetch(self, spec: CheckpointSpec, report: Callable[[Progress], None]) -> Path:
        if spec.name == "torn":
            raise CheckpointError("Torn has a truncated file.")
        if spec.name == "far":
            self.fetching = True
            try:
                report(Progress("downloading", 10, 100, "bytes"))
                await self.arrived.wait()
            finally:
                self.fetching = False
        return self.folder


def make_manager(library: FakeLibrary, loader: ScriptedLoader, **changes: Any) -> ModelManager:
    values: dict[str, Any] = {
        "device": "cpu",
        "dtype": "auto",
        "max_context": None,
        "max_running": 2,
        "max_waiting": 16,
        "queue_timeout": 30.0,
        "drain_seconds": 5.0,
    }
    return ModelManager(cast(Library, library), loader, **(values | changes))


async def until(manager: ModelManager, meets: Callable[[ModelStatus], bool]) -> ModelStatus:
    """The first status that meets the condition; fails after 20 s."""
    status = manager.status()
    async with asyncio.timeout(20):
        while not meets(status):
            status = await manager.changed(status)
    return status


async def soon(meets: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as the condition holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not meets():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def managing(
    folder: Path, loader: ScriptedLoader | None = None, **changes: Any
) -> AsyncIterator[tuple[ModelManager, FakeLibrary, ScriptedLoader]]:
    """A manager with `one` loaded; its loader's script may be changed from now on."""
    library, loader = FakeLibrary(folder), loader or ScriptedLoader()
    manager = make_manager(library, loader, **changes)
    await manager.load("one")
    try:
        yield manager, library, loader
    finally:
        await manager.close()
