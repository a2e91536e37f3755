"""A question about documents becomes a plan; the plan is carried out, the answer's quotes checked.

Says beforehand what is read in which call and what is left out (Sources), and plans anew when a
swap leaves less room. How passages are chosen is documents/'s business, calls are map_reduce's.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from qwen_webui.chat.assistant import MOST_PLANS, RESERVE, Assistant
from qwen_webui.chat.checks import check_turn, repaired
from qwen_webui.chat.constraining import form_counted, instructed, needed_tokens
from qwen_webui.chat.fitting import Fitter, Turn
from qwen_webui.chat.follow_up import search_text
from qwen_webui.chat.loaded import Loaded, loaded_in
from qwen_webui.chat.map_reduce import Outgrown, Reading, Task, calls_made
from qwen_webui.documents.citations import Checker
from qwen_webui.documents.planning import Library, make_plan
from qwen_webui.documents.prompts import Language
from qwen_webui.errors import InvalidRequest, ModelSwitching, WebUIError
from qwen_webui.models import ModelManager
from qwen_webui.personas import Persona, Personas
from qwen_webui.structured import Structured
from qwen_webui.types import (
    AskedDocument,
    CallRead,
    ChatTurn,
    Citations,
    Finished,
    GenerationEvent,
    Message,
    Progress,
    Sampling,
    Sources,
    TextDelta,
)

ANALYST = "analyst"
# Of the context: what earlier turns may take from the documents at most, one in so many.
HISTORY_SHARE = 4
# Tokens that the joints of a rendered prompt may cost beyond the sum of its pieces.
_SLACK = 16
# Counts that are guesses turned out too small: so much less is tried.
_LESS = 0.7
# Documents of millions of characters take seconds to be made ready: after so long it is said.
INDEXING = "indexing_documents"
SILENT_SECONDS = 1.5
_CHINESE = re.compile("[㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class DocumentTurn:
    """What is asked about documents: `turn.text` is the question, `documents` ids of `owner`'s,
    numbered in that order. `everything`: True reads all of them part after part where they do not
    fit, False what is found for the question; None decides by how the question sounds."""

    turn: ChatTurn
    owner: str
    documents: tuple[str, ...]
    everything: bool | None = None


class Libraries(Protocol):
    """Where documents come from: a shelf, or files read for one command."""

    async def library(self, owner: str, ids: Sequence[str], context: int) -> Library:
        """The documents in that order. Raises NotFound."""


class Analyst:
    """Answers questions about documents with whatever checkpoint the manager has loaded."""

    def __init__(
        self,
        manager: ModelManager,
        personas: Personas,
        structured: Structured,
        assistant: Assistant,
        documents: Libraries,
    ) -> None:
        self._manager = manager
        self._personas = personas
        self._structured = structured
        self._assistant = assistant
        self._documents = documents
        self._fitter = Fitter()

    async def answer(self, asked: DocumentTurn) -> AsyncGenerator[GenerationEvent, None]:
        """[Progress] Sources [LeftOut] Queued* Progress* TextDelta* [Citations] Finished. To close
        the generator stops the engine.

        The first Progress (INDEXING) comes while the documents are made ready to be searched, if
        that takes long. Sources comes again before any text when a swap changed the plan, and
        before an error that ended the reading between its calls: with what was read until then.
        Between the calls of a map-reduce Progress counts calls; TextDelta is of the answer only;
        Finished sums all calls.
        An answer of a form that was asked for (`sampling.constraint`) has no Citations. Raises
        NotFound, DocumentError and ContextLengthExceeded before the engine is asked, and what
        Assistant.answer raises; of a part that could not be read the error says which.
        """
        asked = _checked(asked)
        told: Sources | None = None
        outgrown: Outgrown | None = None
        for attempt in range(MOST_PLANS):
            preparing = asyncio.create_task(
                self._task(asked, attempt, guessed=outgrown is not None), name="plan"
            )
            try:
                if not (await asyncio.wait((preparing,), timeout=SILENT_SECONDS))[0]:
                    yield Progress(INDEXING, 0, 0, "characters")
                task = await preparing
            finally:
                preparing.cancel()
            sources = _sources(asked.documents, task)
            if sources != told:
                told = sources
                yield sources
            made = 0
            try:
                async with aclosing(self._carried_out(asked, task)) as events:
                    async for event in events:
                        made = calls_made(event, sources, made)
                        yield event
                return
            except Outgrown as error:
                outgrown = error
            except WebUIError:
                if 0 < made < len(sources.calls):
                    yield sources.after(made)
                raise
        assert outgrown is not None, "the loop ends early only when something was outgrown"
        if outgrown.refusal is not None:
            raise outgrown.refusal
        raise ModelSwitching(
            "The model was swapped again and again while the documents were read. Ask once more."
        )

    async def _carried_out(
        self, asked: DocumentTurn, task: Task
    ) -> AsyncGenerator[GenerationEvent, None]:
        async def fits(prompt: str) -> bool:
            return await self._fits(asked, task, prompt)

        answer: list[str] = []
        async with aclosing(Reading(self._assistant, task, fits).events()) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    answer.append(event.text)
                if isinstance(event, Finished) and asked.turn.sampling.constraint is None:
                    check = Checker(task.library.documents).check
                    yield Citations(await asyncio.to_thread(check, "".join(answer)))
                yield event

    async def _fits(self, asked: DocumentTurn, task: Task, prompt: str) -> bool:
        """Whether `prompt` leaves enough for the answer with what is loaded now."""
        now = loaded_in(self._manager)
        if now == task.made_for:
            return True
        frame = await self._frame(asked, now)
        return await asyncio.to_thread(now.tokenizer.count, prompt) <= frame.room

    async def _task(self, asked: DocumentTurn, attempt: int, *, guessed: bool) -> Task:
        loaded = loaded_in(self._manager)
        context = loaded.info.max_context
        library = await self._documents.library(asked.owner, asked.documents, context)
        frame = await self._frame(asked, loaded)
        language = question_language(asked.turn.text)
        room = frame.room
        if guessed and not loaded.tokenizer.exact:
            room = int(room * _LESS**attempt)
        with form_counted(asked.turn.sampling.constraint):
            plan = await asyncio.to_thread(
                make_plan,
                library,
                asked.turn.text,
                room,
                loaded.tokenizer.count,
                language=language,
                everything=asked.everything,
                search=search_text(asked.turn.text, asked.turn.history),
            )
        id = asked.turn.request_id or secrets.token_hex(8)
        turn = replace(
            asked.turn,
            system=frame.system,
            persona=None,
            sampling=frame.sampling,
            # An engine may still be busy ending the streams of the plan before.
            request_id=f"{id}-again{attempt}" if attempt else id,
        )
        analyst = self._personas.get(ANALYST).system[language]
        return Task(loaded, library, plan, turn, language, analyst)

    async def _frame(self, asked: DocumentTurn, loaded: Loaded) -> _Frame:
        constraint, needed = asked.turn.sampling.constraint, 0
        if constraint is not None:
            needed = await needed_tokens(self._structured, constraint, loaded.info)
        # A long history is counted the first time it is seen.
        return await asyncio.to_thread(self._framed, asked.turn, loaded, needed)

    def _framed(self, turn: ChatTurn, loaded: Loaded, needed: int) -> _Frame:
        context = loaded.info.max_context
        system, sampling = self._role(turn)
        # A note is longer than some answers: RESERVE holds every one that is planned.
        reserve = max(min(max(sampling.max_new_tokens or 0, RESERVE), context // 4), needed)
        before: Turn = instructed((Message("system", system),), sampling.constraint)
        text = Message("user", "")
        base = loaded.tokenizer.count_chat((*before, text))
        budget = base + context // HISTORY_SHARE if turn.fit_history else None
        history = tuple(repaired(message) for message in turn.history)
        fitted = self._fitter.fit(loaded.tokenizer, (before, text), history, (), budget)
        return _Frame(system, sampling, context - reserve - fitted.tokens - _SLACK)

    def _role(self, turn: ChatTurn) -> tuple[str, Sampling]:
        """The system message, and the sampling of who answers."""
        analyst, first = self._personas.get(ANALYST), self._personas.all()[0]
        system = analyst.system[question_language(turn.text)]
        own = self._personas.get(turn.persona) if turn.persona is not None else None
        sampling = turn.sampling
        if own is not None and own not in (analyst, first):
            sampling = sampling.over(own.sampling)
        said = turn.system
        if said is None:
            said = own.system[turn.language] if own is not None else ""
        if said.strip() and said not in _texts(analyst, first):
            system = f"{said}\n\n{system}"
        return system, sampling.over(analyst.sampling)


@dataclass(frozen=True)
class _Frame:
    """What stands around the user's message, and the `room` in tokens that it may have."""

    system: str
    sampling: Sampling
    room: int


def question_language(question: str) -> Language:
    """Chinese if there is a Chinese character in it."""
    return "zh" if _CHINESE.search(question) else "en"


def _checked(asked: DocumentTurn) -> DocumentTurn:
    """`asked` with each document once. Raises InvalidRequest."""
    check_turn(asked.turn)
    if not asked.documents:
        raise InvalidRequest("There is no document to ask. Name at least one.", param="documents")
    if asked.turn.tools:
        raise InvalidRequest(
            "Tools and documents cannot be combined in one question. Send one of them.",
            param="tools",
        )
    return replace(asked, documents=tuple(dict.fromkeys(asked.documents)))


def _texts(*personas: Persona) -> set[str]:
    return {text for persona in personas for text in (persona.system.en, persona.system.zh)}


def _sources(ids: Sequence[str], task: Task) -> Sources:
    plan, documents = task.plan, task.library.documents
    return Sources(
        plan.mode,
        tuple(
            AskedDocument(id, document.name, document.unit, len(document.pages))
            for id, document in zip(ids, documents, strict=True)
        ),
        tuple(CallRead(call.number, call.step, call.spans, call.inputs) for call in plan.calls),
        plan.left_out,
    )
