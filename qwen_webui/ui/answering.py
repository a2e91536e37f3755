"""One answer while it is being written, and which tab it belongs to.

The task that follows the assistant's events lives apart from the page's handler, so that Stop, a
closed tab and the handler's own end can each cancel it at once, in the middle of a long prefill
too. Makes no HTML and stores nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol

from qwen_webui.chat import Analyst, Assistant, ContextUse, DocumentTurn
from qwen_webui.chat.map_reduce import calls_made
from qwen_webui.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    ModelNotReady,
    NotFound,
    WebUIError,
)
from qwen_webui.models import ModelManager
from qwen_webui.types import (
    ChatTurn,
    Citations,
    Finished,
    FinishReason,
    GenerationEvent,
    LeftOut,
    ModelStatus,
    Progress,
    Queued,
    Sources,
    TextDelta,
    Usage,
)

log = logging.getLogger(__name__)

ON_THE_WAY = ("downloading", "loading", "swapping")


@dataclass
class Answer:
    """What has arrived so far. `waits_for` is what stands between the user and the first word."""

    text: str = ""
    tokens: int = 0
    waits_for: Queued | Progress | ModelStatus | None = None
    left_out: LeftOut | None = None
    reason: FinishReason | None = None
    usage: Usage | None = None
    closed: bool = False
    error: WebUIError | None = None
    stopped: bool = False
    done: bool = False
    model: str | None = None
    precision: str | None = None
    sources: Sources | None = None
    citations: Citations | None = None

    @property
    def to_keep(self) -> bool:
        """Whether anything came of it: words, or the reading of a part."""
        return bool(self.text or (self.sources is not None and self.sources.calls))


class Answerer(Protocol):
    """What answers a turn: the assistant, or the analyst with its documents at hand."""

    def answer(self, turn: ChatTurn) -> AsyncGenerator[GenerationEvent, None]: ...

    def context_use(self, turn: ChatTurn) -> ContextUse: ...


@dataclass(frozen=True)
class DocumentAnswerer:
    """The analyst with the documents of one question; what is cut is counted by the assistant."""

    analyst: Analyst
    assistant: Assistant
    owner: str
    documents: tuple[str, ...]

    async def answer(self, turn: ChatTurn) -> AsyncGenerator[GenerationEvent, None]:
        """See Analyst. Two of its errors get a code of their own, because what a reader can do
        about them is not what helps without documents."""
        asked = DocumentTurn(turn, self.owner, self.documents)
        try:
            async with aclosing(self.analyst.answer(asked)) as events:
                async for event in events:
                    yield event
        except (NotFound, ContextLengthExceeded) as error:
            gone = isinstance(error, NotFound)
            code = "document_gone" if gone else "documents_no_room"
            raise type(error)(error.message, code=code, param=error.param) from error

    def context_use(self, turn: ChatTurn) -> ContextUse:
        """See Assistant."""
        return self.assistant.context_use(turn)


class RunningAnswer:
    """Follows one turn to its end, whatever that is. `answer` may be read at any time."""

    def __init__(self, assistant: Answerer, manager: ModelManager, turn: ChatTurn) -> None:
        self.answer = Answer()
        # The tab went on to something else: nothing of this may be shown any more.
        self.left = False
        self._assistant = assistant
        self._manager = manager
        self._turn = turn
        self._calls_made = 0
        self._version = 0
        self._changed = asyncio.Event()
        self._started = time.monotonic()
        self._first: float | None = None
        self._task = asyncio.create_task(self._run(), name="answer")

    @property
    def waits_for(self) -> Queued | Progress | ModelStatus | None:
        """What the first word waits for now: in line behind a load, it is the load."""
        waits = self.answer.waits_for
        status = self._manager.status()
        if isinstance(waits, Queued | ModelStatus) and status.state in ON_THE_WAY:
            return status
        return waits

    async def news(self, seen: int, timeout: float) -> int:
        """The count of changes, as soon as it is not `seen`, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._version == seen:
                    await self._changed.wait()
        return self._version

    async def rest(self, seconds: float) -> None:
        """Let changes gather for so long; the first word and the end are not kept waiting."""
        begun = bool(self.answer.text)
        end = time.monotonic() + seconds
        while not self.answer.done and begun == bool(self.answer.text):
            left = end - time.monotonic()
            if left <= 0:
                return
            await self.news(self._version, left)

    def stop(self) -> None:
        """Cancel; the engine is told at once. What has arrived stays in `answer`."""
        self._task.cancel()

    async def ended(self) -> None:
        """Wait for the end."""
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        answer = self.answer
        try:
            await self._follow()
        except asyncio.CancelledError:
            # Only ever cancelled by `stop`: to end here is what was asked for.
            answer.stopped = True
        except WebUIError as error:
            answer.error = error
        except Exception:
            # Whatever it was must end as a notice on the page and a trace in the log.
            log.exception("an answer failed")
            answer.error = GenerationFailed("The answer failed.", code="internal_error")
        finally:
            if answer.usage is None and answer.tokens:
                answer.usage = self._measured()
            if answer.sources is not None and answer.sources.answered and answer.reason is None:
                answer.sources = answer.sources.after(self._calls_made)
            answer.done = True
            self._tell()

    def _tell(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(self) -> None:
        while True:
            try:
                async with aclosing(self._assistant.answer(self._turn)) as events:
                    async for event in events:
                        self._take(event)
                return
            except ModelNotReady:
                status = self._manager.status()
                if status.state not in ON_THE_WAY or self.answer.tokens:
                    raise
                self.answer.waits_for = status
                self._tell()
                await self._manager.changed(status)

    def _take(self, event: GenerationEvent) -> None:
        answer = self.answer
        if answer.sources is not None:
            self._calls_made = calls_made(event, answer.sources, self._calls_made)
        if isinstance(event, TextDelta):
            if self._first is None:
                self._first = time.monotonic()
                self._name_model()
            answer.waits_for = None
            answer.text += event.text
            answer.tokens += len(event.token_ids)
        elif isinstance(event, Finished):
            answer.reason, answer.usage = event.reason, event.usage
            answer.closed = event.closed
            self._name_model()
        elif isinstance(event, Sources):
            answer.sources, self._calls_made = event, 0
        elif isinstance(event, Citations):
            answer.citations = event
        elif isinstance(event, LeftOut):
            answer.left_out = event if event.turns else None
        elif isinstance(event, Queued | Progress):
            answer.waits_for = self._wait(event)
        self._tell()

    def _wait(self, event: Queued | Progress) -> Queued | Progress:
        """Of an answer that takes several calls the calls are counted, not the tokens of each."""
        waits = self.answer.waits_for
        if isinstance(waits, Progress) and waits.unit == "calls":
            return waits if isinstance(event, Progress) and event.unit != "calls" else event
        return event

    def _name_model(self) -> None:
        info = self._manager.status().info
        if info is not None and self.answer.model is None:
            self.answer.model = info.checkpoint.name
            self.answer.precision = info.checkpoint.precision

    def _measured(self) -> Usage:
        """What an answer that was cut took, as far as this process saw it."""
        now = time.monotonic()
        try:
            prompt = self._assistant.context_use(self._turn).used
        except WebUIError:
            prompt = 0  # the checkpoint is gone, and its tokenizer with it
        first = self._first or now
        return Usage(prompt, self.answer.tokens, 0, first - self._started, now - self._started)


class Answers:
    """The answers being written, by the tab (Gradio's session) that asked for them."""

    def __init__(self, assistant: Assistant, manager: ModelManager) -> None:
        self._assistant = assistant
        self._manager = manager
        self._running: dict[str, RunningAnswer] = {}

    def begin(
        self, session: str, turn: ChatTurn, answerer: Answerer | None = None
    ) -> RunningAnswer:
        """Start answering, by the assistant if nobody else; the caller must `end` it."""
        assert session not in self._running, "a tab has one answer at a time"
        running = RunningAnswer(answerer or self._assistant, self._manager, turn)
        self._running[session] = running
        return running

    def is_running(self, session: str) -> bool:
        """Whether this tab's last answer is still being written."""
        return session in self._running

    def stop(self, session: str | None) -> None:
        """Stop this tab's answer, if there is one; nobody else's is touched."""
        running = self._running.get(session or "")
        if running is not None:
            running.stop()

    async def leave(self, session: str) -> None:
        """Stop this tab's answer and show no more of it: the tab goes on to something else."""
        running = self._running.pop(session, None)
        if running is not None:
            running.left = True
            running.stop()
            await running.ended()

    async def end(self, session: str, running: RunningAnswer) -> None:
        """Stop `running`, if it still runs, and forget it."""
        running.stop()
        await running.ended()
        if self._running.get(session) is running:
            del self._running[session]
