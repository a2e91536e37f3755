"""The measurement: precision after precision is loaded and asked for answers of exact lengths.

What fails is a row, or a line of one, with its reason; the others go on. Prints and writes nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwen_webui.engines.base import Engine, EngineLoader
from qwen_webui.errors import EngineCrashed, EngineTimeout, GenerationFailed, WebUIError
from qwen_webui.measure.speed.asking import Asker, EndedEarly, plain_ids
from qwen_webui.measure.speed.figures import (
    bytes_per_token,
    decode_rate,
    kv_bytes_per_token,
    limit,
    share,
    spread,
    whole_rate,
)
from qwen_webui.measure.speed.lengths import Length, context_for
from qwen_webui.measure.speed.peak import Peak
from qwen_webui.measure.speed.report import Answers, SpeedReport, SpeedRow
from qwen_webui.memory import forecast_in
from qwen_webui.models.slot import EngineSlot
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import CheckpointSpec, Device, Dtype, EnginePath, Usage

Tell = Callable[[str], None]
Keep = Callable[[SpeedReport], None]
Fetch = Callable[[CheckpointSpec], Awaitable[Path]]
# Tokens of the answer before those that count.
WARM = 8
MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """What is measured. `specs` in the order of the report; `lengths` from short to long.
    `at_once` counts are asked at the shortest, one request at all of them."""

    specs: Sequence[CheckpointSpec]
    lengths: Sequence[Length]
    at_once: Sequence[int]
    repeat: int
    device: Device
    dtype: Dtype | None = None
    engine_path: EnginePath = "auto"

    @property
    def cases(self) -> tuple[tuple[Length, int], ...]:
        """Each length with how many ask at once."""
        single = [(length, 1) for length in self.lengths if 1 in self.at_once]
        several = [(self.lengths[0], count) for count in self.at_once if count > 1]
        return (*single, *several)


async def measure(
    plan: Plan, report: SpeedReport, loader: EngineLoader, fetch: Fetch, tell: Tell, keep: Keep
) -> None:
    """Hand `report`, with more and more rows, to `keep` whenever something has been measured.

    `fetch` brings a checkpoint's files; `tell` gets a line now and then. Cancelling ends it at
    once; what was kept stays true. The loader is the caller's to close.
    """
    run = _Run(plan, report, loader, fetch, tell, keep)
    await run.memory_measured()
    for spec in plan.specs:
        await run.measured(spec)
    run.completed()


class _Run:
    def __init__(
        self,
        plan: Plan,
        report: SpeedReport,
        loader: EngineLoader,
        fetch: Fetch,
        tell: Tell,
        keep: Keep,
    ) -> None:
        self._plan = plan
        self._report = report
        self._loader = loader
        self._fetch = fetch
        self._tell = tell
        self._keep = keep
        self._done: tuple[SpeedRow, ...] = report.rows
        shortest = context_for(plan.lengths[:1], plan.specs[0].shape.context_length)
        self._slot = EngineSlot(loader, plan.device, plan.dtype, shortest, plan.engine_path)
        self._started = False
        # Another stream of inputs in every run: an attached cache might remember the last one.
        self._chance = random.Random(time.time_ns())

    async def memory_measured(self) -> None:
        """How fast the device copies, before anything is loaded."""
        self._tell(f"measuring how fast the memory of the {self._plan.device} copies")
        try:
            rate = await self._loader.copy_rate(self._plan.device)
        except WebUIError as error:
            self._tell(f"it cannot be measured: {error.message}")
            return
        self._tell(f"{rate / 1e9:.1f} GB/s, read and written")
        self._report = replace(self._report, copy_rate=rate)

    async def measured(self, spec: CheckpointSpec) -> None:
        """All of one precision."""
        row = SpeedRow(spec.precision, spec.name)
        try:
            row, engine = await self._loaded(row, spec)
            self._post(row)
            await self._asked(row, engine)
        except WebUIError as error:
            self._tell(f"{spec.name}: {error.message}")
            last = self._report.rows[len(self._done) :] or (row,)
            self._post(replace(last[0], error=error.message))
            if isinstance(error, (EngineCrashed, EngineTimeout)):
                self._slot.lose()
        self._done = self._report.rows

    def completed(self) -> None:
        """Nothing is to come any more."""
        self._report = replace(self._report, complete=True)
        self._keep(self._report)

    def _post(self, row: SpeedRow) -> None:
        self._report = replace(self._report, rows=(*self._done, row))
        self._keep(self._report)

    async def _loaded(self, row: SpeedRow, spec: CheckpointSpec) -> tuple[SpeedRow, Engine]:
        """In place of the precision before. The files are there before the clock runs."""
        folder = await self._fetch(spec)
        self._tell(f"{spec.name}: loading")
        swapped, began = self._slot.engine is not None, time.perf_counter()
        await self._slot.clear()
        if not self._started:  # the process that copied has all its libraries already
            await self._loader.restart()
        context = await self._context(spec)
        need = forecast_in(spec, await self._slot.room(), context)
        prepared = await self._slot.prepare(need, spec, folder)
        await self._slot.put(prepared, lambda _: None)
        seconds = time.perf_counter() - began
        engine = self._slot.engine
        assert engine is not None, "a load that succeeded left an engine"
        info = engine.info
        row = replace(
            row,
            device=info.device_name,
            dtype=info.dtype,
            kernel=info.kernel,
            context=info.max_context,
            weights_bytes=info.weights_bytes,
            cache_bytes=info.cache_bytes,
            kv_bytes_per_token=kv_bytes_per_token(spec, info.dtype),
            load_seconds=info.load_seconds,
            start_seconds=None if self._started else seconds,
            swap_seconds=seconds if swapped else None,
            notes=info.notes,
        )
        self._started = True
        self._tell(
            f"{spec.name}: ready in {seconds:.1f} s, kernel {info.kernel}, {info.dtype}, weights "
            f"{info.weights_bytes / MIB:.0f} MiB, KV cache {info.cache_bytes / MIB:.0f} MiB"
        )
        return row, engine

    async def _context(self, spec: CheckpointSpec) -> int:
        """For the longest lengths that fit into the memory. Raises DoesNotFit if none does."""
        await self._slot.admit(spec)
        room, most = await self._slot.room(), spec.shape.context_length
        lengths = self._plan.lengths
        contexts = [context_for(lengths[: at + 1], most) for at in range(len(lengths))]
        fits = [one for one in contexts if forecast_in(spec, room, one).fits]
        return max(fits, default=contexts[0])

    async def _asked(self, row: SpeedRow, engine: Engine) -> None:
        """Every case, one after the other; the row is posted after each."""
        folder = self._slot.held.plan.folder if self._slot.held else ""
        tokenizer = await asyncio.to_thread(ChatTokenizer.load, Path(folder))
        ids = await asyncio.to_thread(plain_ids, tokenizer)
        asker, peak = Asker(engine, ids, self._chance), Peak(self._loader)
        for length, count in self._plan.cases:
            answers = Answers(length.input_tokens, length.output_tokens, count)
            try:
                async with peak.watched():
                    answers = await self._case(answers, asker, engine, length)
            except (EngineCrashed, EngineTimeout):
                raise
            except WebUIError as error:
                self._tell(f"{row.checkpoint}: {error.message}")
                answers = replace(answers, error=error.message)
            row = replace(row, answers=(*row.answers, answers), peak_bytes=peak.bytes or None)
            row = replace(row, stops_held_back=asker.hold_back)
            self._post(row)

    async def _case(
        self, answers: Answers, asker: Asker, engine: Engine, length: Length
    ) -> Answers:
        """The figures of one case. Once an answer ends early, stops are held back from then on and
        the case begins anew, so that all its answers are computed the same way."""
        if length.context > engine.info.max_context:
            raise GenerationFailed(
                f"{length.context} tokens do not fit into the memory that is free: the checkpoint "
                f"was loaded with a context of {engine.info.max_context}. Choose shorter lengths."
            )
        try:
            found = await self._repeats(asker, length, answers.at_once)
        except EndedEarly:
            if asker.hold_back:
                raise GenerationFailed(
                    f"The model ended an answer before {length.output_tokens} tokens, although "
                    "the ids that end one were held back. Choose a shorter --outputs."
                ) from None
            asker.hold_back = True
            return await self._case(answers, asker, engine, length)
        answers = _filled(answers, found)
        if answers.at_once == 1:
            answers = self._beside_the_limit(answers, engine)
        said = answers.together if answers.at_once > 1 else answers.whole
        assert said is not None, "it was just measured"
        self._tell(
            f"{engine.checkpoint.name}: {length.input_tokens} in, {length.output_tokens} out, "
            f"{answers.at_once} at once: {said.median:.1f} tokens/s"
        )
        return answers

    async def _repeats(
        self, asker: Asker, length: Length, at_once: int
    ) -> list[tuple[list[Usage], float]]:
        warm = replace(length, output_tokens=min(WARM, length.output_tokens))
        await asker.ask(warm, at_once)
        return [await asker.ask(length, at_once) for _ in range(self._plan.repeat)]

    def _beside_the_limit(self, answers: Answers, engine: Engine) -> Answers:
        each = bytes_per_token(engine.info, answers.input_tokens, answers.output_tokens)
        rate = self._report.copy_rate
        most = limit(rate, each) if rate is not None else None
        reached = share(answers.decode.median, most) if answers.decode and most else None
        return replace(answers, bytes_per_token=each, limit=most, share=reached)


def _filled(answers: Answers, found: Sequence[tuple[list[Usage], float]]) -> Answers:
    """With what the repeats took."""
    usages = [usage for one, _ in found for usage in one]
    decoded = [rate for usage in usages if (rate := decode_rate(usage)) is not None]
    together = [sum(u.completion_tokens for u in one) / seconds for one, seconds in found]
    return replace(
        answers,
        first_token=spread([usage.seconds_to_first_token for usage in usages]),
        whole=spread([whole_rate(usage) for usage in usages]),
        decode=spread(decoded) if decoded else None,
        together=spread(together),
    )
