"""Engines on another server: to load is to choose one of its models.

Nothing is started, stopped or moved into memory there, and its memory is not known here.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from qwen_webui.engines.base import Engine, EngineLoader, Report
from qwen_webui.engines.openai.answer import Vocabulary
from qwen_webui.engines.openai.body import CHAT, trial_body
from qwen_webui.engines.openai.connection import Connection, ServedModel
from qwen_webui.engines.openai.engine import ANSWER_SECONDS, OpenAIEngine
from qwen_webui.errors import (
    CheckpointError,
    CheckpointMissing,
    DeviceUnusable,
    EngineCrashed,
    EngineTimeout,
    InvalidRequest,
    OutOfMemory,
    Unavailable,
)
from qwen_webui.memory import machine_memory
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Device, EngineInfo, LoadPlan, MemoryUse, Progress, Sampling

# What changes nothing, where the model's own values are not known.
NEUTRAL = Sampling(1.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0)
# How long a server that is gone may take to come back before it is given up.
RETURN_SECONDS = 60.0
# How long one that is there may take to load its model.
READY_SECONDS = 600.0
RETRY_SECONDS = 1.0
GUESSED = (
    "Another server computes this model, and the files of its tokenizer are not on this computer: "
    "lengths are estimates, and its own sampling values are not known."
)


class OpenAILoader(EngineLoader):
    """The models of the server at `url`, an address such as http://127.0.0.1:8000/v1."""

    def __init__(self, url: str, key: str | None = None, stall_seconds: float = 120.0) -> None:
        self._connection = Connection(url, key, stall_seconds)
        self._engine: OpenAIEngine | None = None

    async def models(self) -> tuple[ServedModel, ...]:
        """What the server has. Raises EngineCrashed, EngineTimeout, DeviceUnusable."""
        return await self._connection.models(ANSWER_SECONDS)

    async def load(self, plan: LoadPlan, report: Report) -> Engine:
        """See EngineLoader."""
        started = time.monotonic()
        total = plan.spec.weights_bytes
        report(Progress("loading", 0, total, "bytes"))
        model = next((m for m in await self.models() if m.name == plan.spec.name), None)
        if model is None:
            raise CheckpointMissing(
                f"The server that computes does not have {plan.spec.name!r} now. Load it there, "
                "or choose another."
            )
        await self._until_ready(model)
        tokenizer, vocabulary = None, None
        if plan.spec.folder is not None:
            tokenizer = await asyncio.to_thread(ChatTokenizer.load, Path(plan.spec.folder))
            vocabulary = await asyncio.to_thread(Vocabulary, tokenizer)
        info = EngineInfo(
            checkpoint=plan.spec,
            device=plan.device,
            device_name=self._connection.host,
            dtype=plan.dtype or "float16",
            kernel=f"another server ({model.owner})" if model.owner else "another server",
            max_context=plan.max_context,
            defaults=await asyncio.to_thread(_defaults, plan.spec.folder),
            stop_ids=tokenizer.stop_ids if tokenizer else (),
            weights_bytes=total,
            load_seconds=time.monotonic() - started,
            notes=() if tokenizer else (GUESSED,),
        )
        report(Progress("loading", total, total, "bytes"))
        self._engine = OpenAIEngine(self._connection, model, info, tokenizer, vocabulary)
        return self._engine

    async def _until_ready(self, model: ServedModel) -> None:
        """Wait while the server says that it cannot answer yet: it may be loading the model. Raises
        what it says last."""
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                await self._connection.post(CHAT, trial_body(model.name))
                return
            except (EngineCrashed, DeviceUnusable, OutOfMemory):
                raise
            except Unavailable:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def memory(self) -> MemoryUse:
        """Of this computer, which holds no weights."""
        return await asyncio.to_thread(machine_memory, "cpu")

    async def copy_rate(self, device: Device) -> float:
        """See EngineLoader. Refused: what computes is not here."""
        raise InvalidRequest(
            "Another server computes, so the speed of its memory cannot be measured from here. "
            "Start without --engine-url, so that this program computes.",
            code="unsupported_parameter",
        )

    async def restart(self) -> None:
        """See EngineLoader. The server is not ours to restart: wait until it answers again, as
        long as is usual; the load that follows says what is wrong."""
        until = time.monotonic() + RETURN_SECONDS
        while time.monotonic() < until:
            try:
                await self.models()
            except (EngineCrashed, EngineTimeout):
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def close(self) -> None:
        """See EngineLoader."""
        if self._engine is not None:
            await self._engine.close()
        await self._connection.close()


def _defaults(folder: str | None) -> Sampling:
    """As generation_config.json has them, complete. Without `do_sample` it means greedy."""
    path = Path(folder) / "generation_config.json" if folder else None
    if path is None or not path.is_file():
        return NEUTRAL
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Sampling(
            temperature=float(said.get("temperature") or 1.0) if said.get("do_sample") else 0.0,
            top_p=float(said.get("top_p") or 1.0),
            top_k=int(said.get("top_k") or 0),
            min_p=float(said.get("min_p") or 0.0),
            repetition_penalty=float(said.get("repetition_penalty") or 1.0),
            presence_penalty=0.0,
            frequency_penalty=0.0,
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            "generation_config.json of the checkpoint cannot be read. Download it again."
        ) from error
