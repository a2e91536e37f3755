"""The fake engine that tests use: plays a script, and can wait, fail, hang and die.

Keeps every promise of base.py but computes nothing: sampling fields other than `stop`,
`max_new_tokens` and `logprobs` have no effect. A constraint does not change what is played, but
is kept in this: an answer that would be cut by its budget is refused. Counts with the
checkpoint's own tokenizer when the spec has a folder, else by words.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from qwen_webui.engines.base import Engine, EngineLoader, Report
from qwen_webui.engines.child import CRASHED
from qwen_webui.engines.room import budget_too_small, room_for_answer
from qwen_webui.engines.script import DEFAULTS, Script
from qwen_webui.engines.scripted_scores import predictions, scores, told
from qwen_webui.engines.stops import StopFilter
from qwen_webui.errors import (
    EngineCrashed,
    EngineTimeout,
    InvalidRequest,
    ModelSwitching,
    WebUIError,
)
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    CheckpointSpec,
    Device,
    DistributionRequest,
    Distributions,
    EngineInfo,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    MemoryUse,
    Progress,
    TextDelta,
    Usage,
)

__all__ = ["Script", "ScriptedEngine", "ScriptedLoader"]


class ScriptedLoader(EngineLoader):
    """Plays `script`, or `scripts[spec.name]` where given; both may be changed by a test.

    Records `plans`, `requests` and `restarts`. `running` counts the streams being computed now,
    `peak` the most there ever were. Memory is in bytes, `copies` in bytes a second.
    """

    def __init__(
        self,
        script: Script | None = None,
        scripts: Mapping[str, Script] | None = None,
        *,
        stall_seconds: float = 120.0,
        total_memory: int = 16 << 30,
    ) -> None:
        self.script = script or Script()
        self.scripts = dict(scripts or {})
        self.stall_seconds = stall_seconds
        self.base_memory = 256 << 20
        self.total_memory = total_memory
        self.copies = 1e9
        self.plans: list[LoadPlan] = []
        self.requests: list[GenerationRequest] = []
        self.restarts = 0
        self.running = 0
        self.peak = 0
        self.closed = False
        self.engine: ScriptedEngine | None = None

    @property
    def loads(self) -> list[str]:
        """Names of the checkpoints whose load was begun, in order."""
        return [plan.spec.name for plan in self.plans]

    def script_for(self, spec: CheckpointSpec) -> Script:
        """The script that counts now for `spec`."""
        return self.scripts.get(spec.name, self.script)

    async def load(self, plan: LoadPlan, report: Report) -> Engine:
        """See EngineLoader."""
        assert self.engine is None, "the engine before must be closed first"
        started = time.monotonic()
        self.plans.append(plan)
        script = self.script_for(plan.spec)
        total = plan.spec.weights_bytes
        for part in range(4):
            report(Progress("loading", total * part // 4, total, "bytes"))
            await asyncio.sleep(script.load_delay / 4)
        if script.load_error is not None:
            raise script.load_error
        tokenizer = None
        if plan.spec.folder is not None:
            tokenizer = await asyncio.to_thread(ChatTokenizer.load, Path(plan.spec.folder))
        report(Progress("loading", total, total, "bytes"))
        self.engine = ScriptedEngine(self, plan, tokenizer, time.monotonic() - started)
        return self.engine

    async def memory(self) -> MemoryUse:
        """The base, and the loaded checkpoint's weights."""
        engine = self.engine
        device = engine.info.device if engine else "cpu"
        used = self.base_memory + (engine.checkpoint.weights_bytes if engine else 0)
        free = max(0, self.total_memory - used)
        return MemoryUse(device, "scripted", used, free, self.total_memory)

    async def copy_rate(self, device: Device) -> float:
        """As it was set."""
        return self.copies

    async def restart(self) -> None:
        """A new process: whatever ran is gone."""
        self.restarts += 1
        self.die()

    async def close(self) -> None:
        """See EngineLoader."""
        if self.engine is not None:
            await self.engine.close()
        self.closed = True

    def die(self) -> None:
        """What a `kill -9` of the worker does: every open stream raises EngineCrashed."""
        if self.engine is not None:
            self.engine.end(EngineCrashed(CRASHED))
            self.engine = None


class ScriptedEngine(Engine):
    """One loaded script."""

    def __init__(
        self,
        loader: ScriptedLoader,
        plan: LoadPlan,
        tokenizer: ChatTokenizer | None,
        seconds: float,
    ) -> None:
        self._loader = loader
        self._plan = plan
        self._tokenizer = tokenizer
        self._ended: asyncio.Future[WebUIError] = asyncio.get_running_loop().create_future()
        self._info = EngineInfo(
            checkpoint=plan.spec,
            device=plan.device,
            device_name="scripted",
            dtype=plan.dtype or "float32",
            kernel="scripted",
            max_context=plan.max_context,
            defaults=DEFAULTS,
            stop_ids=tokenizer.stop_ids if tokenizer else (0,),
            weights_bytes=plan.spec.weights_bytes,
            load_seconds=seconds,
            at_once=self._loader.script_for(plan.spec).at_once,
        )

    @property
    def checkpoint(self) -> CheckpointSpec:
        """See Engine."""
        return self._plan.spec

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return self._info

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """See Engine."""
        loader = self._loader
        loader.requests.append(request)
        loader.running += 1
        loader.peak = max(loader.peak, loader.running)
        try:
            async with aclosing(self._play(request)) as events:
                async for event in events:
                    yield event
        finally:
            loader.running -= 1

    async def score(self, token_ids: Sequence[int]) -> list[float]:
        """See scripted_scores.py."""
        await self._pause(0.0)
        script = self._loader.script_for(self.checkpoint)
        return scores(token_ids, self._plan, script, self._tokenizer)

    async def distributions(self, asked: DistributionRequest) -> Distributions:
        """See scripted_scores.py."""
        await self._pause(0.0)
        script = self._loader.script_for(self.checkpoint)
        return predictions(asked, self._plan, script, self._tokenizer)

    async def ended(self) -> None:
        """See Engine."""
        await asyncio.wait((self._ended,))

    async def close(self) -> None:
        """See Engine."""
        self.end(ModelSwitching("The model was unloaded before the answer was complete."))
        if self._loader.engine is self:
            self._loader.engine = None
        await asyncio.sleep(0)

    def end(self, reason: WebUIError) -> None:
        """Every stream, open or new, raises `reason` from now on."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def _play(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        started = first = time.monotonic()
        script = self._loader.script_for(self.checkpoint)
        await self._pause(0.0)
        prompt = self._count(request)
        limit = room_for_answer(prompt, self._plan.max_context, request.sampling.max_new_tokens)
        self._refuse_to_cut(script, request, limit)
        if script.prefill:
            yield Progress("prefill", 0, prompt, "tokens")
            await self._pause(script.prefill)
        stops = StopFilter(request.sampling.stop)
        reason: FinishReason = "stop"
        tail, done = "", 0
        for done, (token, piece, whole) in enumerate(self._tokens(script, request), start=1):
            await self._strike(script, done - 1)
            await self._pause(script.delay)
            first = time.monotonic() if done == 1 else first
            text = stops.push(piece)
            ended = stops.stopped or done == limit
            if ended:
                text, reason = text + stops.flush(), "stop" if stops.stopped else "length"
            yield TextDelta(text, (token,), told(request, token, whole))
            if ended:
                break
        else:
            await self._strike(script, done)
            tail = stops.flush()
        if tail:
            yield TextDelta(tail)
        now = time.monotonic()
        yield Finished(reason, Usage(prompt, done, 0, first - started, now - started))

    def _tokens(self, script: Script, request: GenerationRequest) -> Iterator[tuple[int, str, str]]:
        """Of each token: id, text that became complete with it, its own text."""
        answer = script.text(self.checkpoint, request)
        if self._tokenizer is None:
            words = re.findall(r"\s*\S+(?:\s+\Z)?", answer)
            yield from ((place, word, word) for place, word in enumerate(words, start=1))
            return
        decoder = self._tokenizer.stream()
        for token in self._tokenizer.encode(answer):
            yield token, decoder.push(token), self._tokenizer.token_text(token)

    def _refuse_to_cut(self, script: Script, request: GenerationRequest, limit: int) -> None:
        constraint = request.sampling.constraint
        if constraint is None or constraint.kind == "tools":
            return
        needed = sum(1 for _ in self._tokens(script, request))
        if needed > limit:
            raise budget_too_small(needed, limit)

    def _count(self, request: GenerationRequest) -> int:
        if not request.messages and request.prompt is None:
            raise InvalidRequest("There is no message. Send at least one.", param="messages")
        if self._tokenizer is not None:
            return len(self._tokenizer.encode_request(request))
        if (prompt := request.prompt) is not None:
            return len(prompt.split() if isinstance(prompt, str) else prompt)
        return sum(len(message.content.split()) for message in request.messages)

    async def _strike(self, script: Script, place: int) -> None:
        if script.fail_at == place:
            assert script.error, "a script that fails needs its error"
            raise script.error
        if script.die_at == place:
            self._loader.die()
        if script.hang_at == place:
            await self._pause(self._loader.stall_seconds)
            self._loader.die()
            raise EngineTimeout(
                f"The engine gave no token for {self._loader.stall_seconds:g} seconds and was "
                "restarted. Send the request again."
            )

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the engine ends first: then its reason is raised."""
        if seconds:
            await asyncio.wait((self._ended,), timeout=seconds)
        else:
            await asyncio.sleep(0)
        if self._ended.done():
            raise self._ended.result()
