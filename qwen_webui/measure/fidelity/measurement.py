"""The measurement: precision after precision is loaded, reads the text and is asked the tasks.

Works through the model manager, so that forecasts, downloads and failed loads are as everywhere.
A precision that fails is a row with its reason. Prints and writes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from qwen_webui.engines.base import Engine
from qwen_webui.errors import WebUIError
from qwen_webui.measure.fidelity.fingerprint import fingerprint
from qwen_webui.measure.fidelity.reading import Reader
from qwen_webui.measure.fidelity.report import FidelityRow, Figure, SkillRow
from qwen_webui.measure.fidelity.statistics import (
    Positions,
    mean,
    perplexity,
    share,
    share_flipped,
)
from qwen_webui.measure.fidelity.store import ReferenceStore
from qwen_webui.measure.fidelity.tasks import Outcome, Task, outcomes
from qwen_webui.measure.fidelity.texts import Text, windows
from qwen_webui.models import ModelManager
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import CheckpointSpec

Tell = Callable[[str], None]
Keep = Callable[[FidelityRow], None]


@dataclass(frozen=True)
class Plan:
    """What is measured. `specs` in the order of the report; the `reference` is a row if it is one
    of them. `conditions` is what besides checkpoint and text the reference's predictions depend
    on: device, number format, engine path, versions."""

    reference: CheckpointSpec
    specs: Sequence[CheckpointSpec]
    texts: Sequence[Text]
    tasks: Sequence[Task]
    tasks_name: str
    tokens: int
    top: int
    conditions: dict[str, str]


async def measure(
    plan: Plan, manager: ModelManager, store: ReferenceStore, tell: Tell, keep: Keep
) -> None:
    """Hand every row to `keep` as soon as it is measured; `tell` gets a line now and then.

    Raises what is wrong with the text. Cancelling ends it at once; rows that were kept stay true,
    and what the reference has read is not read again.
    """
    run = _Run(plan, manager, store, tell)
    row = await run.reference()
    for spec in plan.specs:
        keep(row if spec == plan.reference else await run.quantised(spec))


class _Run:
    def __init__(
        self, plan: Plan, manager: ModelManager, store: ReferenceStore, tell: Tell
    ) -> None:
        self._plan = plan
        self._manager = manager
        self._store = store
        self._tell = tell
        self._reader: Reader | None = None

    async def reference(self) -> FidelityRow:
        """Its row. Where its predictions are kept and nothing is asked of it, it is not loaded."""
        spec = self._plan.reference
        row = FidelityRow(spec.precision, spec.name, is_reference=True)
        wanted = spec in self._plan.specs
        if spec.folder is not None:
            reader = await self._reader_of(Path(spec.folder))
            if not await reader.missing() and not (wanted and self._plan.tasks):
                self._tell(f"{spec.name}: its predictions are kept from an earlier run")
                return _read(row, await reader.reference())
        return await self._measured(row, spec, tasks=wanted)

    async def quantised(self, spec: CheckpointSpec) -> FidelityRow:
        """The row of one precision."""
        return await self._measured(FidelityRow(spec.precision, spec.name, False), spec)

    async def _measured(
        self, row: FidelityRow, spec: CheckpointSpec, *, tasks: bool = True
    ) -> FidelityRow:
        started = time.monotonic()
        try:
            async with self._loaded(spec) as engine:
                info = engine.info
                row = replace(row, device=info.device_name, dtype=info.dtype, kernel=info.kernel)
                row = await self._texts_read(row, spec, engine)
                if tasks and self._plan.tasks:
                    row = _answered(row, await self._asked(spec, engine))
        except WebUIError as error:
            self._tell(f"{spec.name}: {error.message}")
            row = replace(row, error=error.message)
        return replace(row, seconds=time.monotonic() - started)

    @asynccontextmanager
    async def _loaded(self, spec: CheckpointSpec) -> AsyncIterator[Engine]:
        self._tell(f"{spec.name}: loading")
        await self._manager.load(spec.name)
        async with self._manager.lease() as engine:
            yield engine

    async def _texts_read(
        self, row: FidelityRow, spec: CheckpointSpec, engine: Engine
    ) -> FidelityRow:
        folder = engine.checkpoint.folder
        reader = self._reader
        if row.is_reference:
            assert folder is not None, "what is loaded here has files"
            reader = await self._reader_of(Path(folder))
            missing = await reader.missing()
            await reader.read(engine, missing, self._counter(spec.name, "windows", len(missing)))
            return _read(row, await reader.reference())
        if reader is None:  # there is no reference: it never loaded
            assert folder is not None, "what is loaded here has files"
            reader = await self._reader_of(Path(folder))
            self._reader = None
        count = self._counter(spec.name, "windows", len(reader.windows))
        found, whole = await reader.compared(engine, count)
        return _read(row, found) if whole else _alone(row, found)

    async def _asked(self, spec: CheckpointSpec, engine: Engine) -> list[Outcome]:
        tasks = self._plan.tasks
        return await outcomes(engine, tasks, self._counter(spec.name, "tasks", len(tasks)))

    async def _reader_of(self, folder: Path) -> Reader:
        """Of the checkpoint in `folder`, once for all precisions."""
        if self._reader is None:
            plan = self._plan
            tokenizer = await asyncio.to_thread(ChatTokenizer.load, folder)
            found = await asyncio.to_thread(windows, plan.texts, tokenizer, plan.tokens)
            name = await asyncio.to_thread(fingerprint, folder)
            key: dict[str, str | int] = {**plan.conditions, "checkpoint": name}
            self._reader = Reader(found, self._store, key, plan.top)
        return self._reader

    def _counter(self, name: str, what: str, total: int) -> Callable[[int], None]:
        """Tells about ten times how far it is."""
        step = max(1, total // 10)

        def count(done: int) -> None:
            if done % step == 0 or done == total:
                self._tell(f"{name}: {done} of {total} {what}")

        return count


def _read(row: FidelityRow, found: Positions | None) -> FidelityRow:
    """With the figures of the text."""
    if found is None:
        return row
    ratio = perplexity(found.quantised - found.reference, found.block)
    own = perplexity(found.quantised, found.block)
    if row.is_reference:
        return replace(row, perplexity=own)
    return replace(
        row,
        kl=mean(found.divergence, found.block),
        flips=share_flipped(found.flipped, found.block),
        perplexity=own,
        perplexity_ratio=ratio,
    )


def _alone(row: FidelityRow, found: Positions) -> FidelityRow:
    """Without a reference there is only the perplexity."""
    error = "The unquantised checkpoint could not be measured, so there is nothing to compare with."
    return replace(row, perplexity=perplexity(found.quantised, found.block), error=error)


def _answered(row: FidelityRow, found: Sequence[Outcome]) -> FidelityRow:
    """With the figures of the tasks."""
    kinds = dict.fromkeys((one.task.skill, one.task.language) for one in found)
    skills = tuple(
        SkillRow(skill, language, sum(one.passed for one in of_it), len(of_it))
        for skill, language in kinds
        if (of_it := [o for o in found if (o.task.skill, o.task.language) == (skill, language)])
    )
    json_asked = [one.json_valid for one in found if one.json_valid is not None]
    return replace(
        row,
        tasks=share(sum(one.passed for one in found), len(found)),
        json_valid=share(sum(json_asked), len(json_asked)),
        quotations=_quotations(found),
        skills=skills,
    )


def _quotations(found: Sequence[Outcome]) -> Figure | None:
    return share(sum(one.verified for one in found), sum(one.quoted for one in found))
