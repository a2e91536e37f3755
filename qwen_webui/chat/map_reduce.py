"""Carries out the calls of a plan one after another: notes of every part, then the answer.

A plan of one call is a map-reduce without notes. What is planned, and what is checked of the
answer, is documents.py's business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from qwen_webui.chat.assistant import Assistant
from qwen_webui.chat.loaded import Loaded
from qwen_webui.documents import prompts
from qwen_webui.documents.planning import Call, Library, Plan
from qwen_webui.errors import ContextLengthExceeded, Overloaded, WebUIError
from qwen_webui.types import (
    ChatTurn,
    Finished,
    GenerationEvent,
    LeftOut,
    Progress,
    Queued,
    Sampling,
    Sources,
    TextDelta,
    Usage,
)

STAGE = "reading_documents"
# Seconds: a full waiting line may cost a reading that has begun this long, not its work so far.
PATIENCE = 60.0
_PAUSE = 1.0


@dataclass(frozen=True)
class Task:
    """A plan, and what it was made from. `turn` is the answer's, but for its text: that of `turn`
    is the question. `reader` is the system message of the calls before."""

    made_for: Loaded
    library: Library
    plan: Plan
    turn: ChatTurn
    language: prompts.Language
    reader: str


def calls_made(event: GenerationEvent, sources: Sources, before: int) -> int:
    """How many of the calls of `sources` have read their part once `event` is told, if `before`
    had. The last one has when the answer begins."""
    if isinstance(event, Progress) and event.stage == STAGE:
        return event.done
    return len(sources.calls) if isinstance(event, TextDelta) and event.text else before


class Outgrown(Exception):
    """The plan does not fit what is loaded now; no text of the answer has come. `refusal` is the
    engine's, of a prompt whose length was a guess."""

    def __init__(self, refusal: ContextLengthExceeded | None = None) -> None:
        super().__init__()
        self.refusal = refusal


@dataclass
class _Tally:
    """Sums the usage of several calls."""

    started: float = field(default_factory=time.monotonic)
    first: float | None = None
    usages: list[Usage] = field(default_factory=list)

    def heard(self) -> None:
        """Text of the answer has come."""
        self.first = self.first or time.monotonic()

    def total(self) -> Usage:
        """Of one call what the engine measured; of several all tokens, and seconds from the start
        of the first call."""
        if len(self.usages) == 1:
            return self.usages[0]
        now = time.monotonic()
        return Usage(
            sum(usage.prompt_tokens for usage in self.usages),
            sum(usage.completion_tokens for usage in self.usages),
            sum(usage.cached_tokens for usage in self.usages),
            (self.first or now) - self.started,
            now - self.started,
            sum(usage.seconds - usage.seconds_to_first_token for usage in self.usages),
        )


class Reading:
    """Makes the calls of one task. `fits` says of a prompt whether what is loaded now, if it is
    not what the task was made for, takes it and leaves room for the answer."""

    def __init__(
        self, assistant: Assistant, task: Task, fits: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._assistant = assistant
        self._task = task
        self._fits = fits
        self._notes: dict[int, str] = {}
        self._tally = _Tally()

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """Progress between the calls, the last one's events, and one Finished for all. Raises
        Outgrown before any text of the answer."""
        *before, last = self._task.plan.calls
        for call in before:
            async with aclosing(self._noted(call)) as events:
                async for event in events:
                    yield event
        if before:
            yield self._progress(len(before))
        async with aclosing(self._made(last)) as events:
            async for event in events:
                if isinstance(event, TextDelta) and event.text:
                    self._tally.heard()
                if isinstance(event, Finished):
                    event = replace(event, usage=self._tally.total())
                yield event

    async def _noted(self, call: Call) -> AsyncGenerator[GenerationEvent, None]:
        """Progress and places in line; what is written becomes the note of `call`."""
        progress = self._progress(call.number - 1)
        yield progress
        note: list[str] = []
        waited = False
        try:
            async with aclosing(self._made(call)) as events:
                async for event in events:
                    if isinstance(event, Queued):
                        waited = True
                        yield event
                    elif waited:
                        waited = False
                        yield progress
                    if isinstance(event, TextDelta):
                        note.append(event.text)
        except WebUIError as error:
            raise self._named(error, call) from error
        self._notes[call.number] = "".join(note)

    def _progress(self, done: int) -> Progress:
        return Progress(STAGE, done, len(self._task.plan.calls), "calls")

    async def _made(self, call: Call) -> AsyncGenerator[GenerationEvent, None]:
        """The events of one call. A full line is waited for once a note is written."""
        prompt = self._prompt(call)
        if not await self._fits(prompt):
            raise Outgrown
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                async with aclosing(self._asked(call, prompt)) as events:
                    async for event in events:
                        yield event
                return
            except Overloaded as error:
                pause = min(error.retry_after or _PAUSE, give_up - time.monotonic())
                if not self._notes or pause <= 0:
                    raise
                await asyncio.sleep(pause)

    async def _asked(self, call: Call, prompt: str) -> AsyncGenerator[GenerationEvent, None]:
        turn = self._turn(call, prompt)
        waiting = True
        try:
            async with aclosing(self._assistant.answer(turn)) as events:
                async for event in events:
                    if waiting and not isinstance(event, Queued | LeftOut):
                        waiting = False
                        if not await self._fits(prompt):
                            raise Outgrown
                    if isinstance(event, Finished):
                        self._tally.usages.append(event.usage)
                    yield event
        except ContextLengthExceeded as error:
            if self._tally.first is not None:
                raise
            if not await self._fits(prompt):
                raise Outgrown from error
            if not self._task.made_for.tokenizer.exact:
                raise Outgrown(error) from error
            raise

    def _turn(self, call: Call, prompt: str) -> ChatTurn:
        turn = self._task.turn
        if call.step == "answer":
            return replace(turn, text=prompt)
        sampling = turn.sampling
        return ChatTurn(
            prompt,
            system=self._task.reader,
            language=turn.language,
            sampling=Sampling(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p,
                repetition_penalty=sampling.repetition_penalty,
                seed=sampling.seed,
                max_new_tokens=call.answer_tokens,
            ),
            request_id=f"{turn.request_id}-{call.number}",
        )

    def _prompt(self, call: Call) -> str:
        documents, plan = self._task.library.documents, self._task.plan
        question, language = self._task.turn.text, self._task.language
        if call.inputs:
            notes = [self._notes[number] for number in call.inputs]
            last = call.step == "answer"
            return prompts.ask_notes(
                [note for note in notes if note.strip()], question, language, last=last
            )
        if call.step == "read":
            total = sum(one.step == "read" for one in plan.calls)
            return prompts.ask_part(
                documents, call.passages, question, language, place=call.number, total=total
            )
        only = plan.mode == "passages"
        return prompts.ask(documents, call.passages, question, language, passages_only=only)

    def _named(self, error: WebUIError, call: Call) -> WebUIError:
        """The same error, with the part that it struck."""
        if call.step == "read":
            total = sum(one.step == "read" for one in self._task.plan.calls)
            what = f"Part {call.number} of {total} of the text ({self._place(call)})"
            message = f"{what} could not be read. {error.message}"
        else:
            message = f"The notes on the text could not be joined. {error.message}"
        return type(error)(
            message, code=error.code, param=error.param, retry_after=error.retry_after
        )

    def _place(self, call: Call) -> str:
        documents = self._task.library.documents
        first, last = call.spans[0], call.spans[-1]
        if len(documents) > 1 and first.document != last.document:
            return f"documents {first.document} to {last.document}"
        unit = documents[first.document - 1].unit
        where = f"{unit} {first.page}"
        if last.page != first.page:
            where = f"{unit}s {first.page} to {last.page}"
        return f"document {first.document}, {where}" if len(documents) > 1 else where
