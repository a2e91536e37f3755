"""One turn of a chat, or one ask of a program, becomes a request; its events come back.

The same for the page, the API and the command line. Decides what is sent to the model and never
how it computes; keeps no conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from qwen_webui.chat.checks import check_ask, check_turn, repaired
from qwen_webui.chat.constraining import (
    constrained,
    form_counted,
    instructed,
    needed_tokens,
    tools_constraint,
)
from qwen_webui.chat.fitting import Fitted, Fitter, Turn
from qwen_webui.chat.loaded import Loaded, loaded_in
from qwen_webui.chat.reading import AnswerReader
from qwen_webui.engines.room import budget_too_small, room_for_answer
from qwen_webui.errors import ContextLengthExceeded, ModelSwitching
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas
from qwen_webui.structured import Structured
from qwen_webui.types import (
    Ask,
    ChatTurn,
    Constraint,
    EngineInfo,
    Finished,
    GenerationEvent,
    GenerationRequest,
    LeftOut,
    Message,
    Queued,
    Sampling,
)

# An answer's length when none is asked for, room allowing.
DEFAULT_NEW_TOKENS = 2048
# What history must leave free for the answer: what is asked for (this much when nothing is), but
# at most a quarter of the context.
RESERVE = 512
# How often a request is made anew because the checkpoint was swapped while it waited in line.
MOST_PLANS = 4
# Characters; longer texts are counted one at a time: each takes many times its size meanwhile.
LARGE = 200_000


@dataclass(frozen=True)
class ContextUse:
    """For a meter: the prompt takes `used` of `available` tokens, `left_out_turns` not sent.

    `system_tokens` of them are neither history nor text: the system message, tools, and what
    opens the answer. `used` above `available` means that the text does not fit even alone.
    """

    used: int
    available: int
    left_out_turns: int
    system_tokens: int


@dataclass(frozen=True)
class _Plan:
    """A request, and the checkpoint it was made for."""

    request: GenerationRequest
    left_out: LeftOut
    made_for: Loaded


class Assistant:
    """Answers turns with whatever checkpoint the manager has loaded."""

    def __init__(self, manager: ModelManager, personas: Personas, structured: Structured) -> None:
        self._manager = manager
        self._personas = personas
        self._structured = structured
        self._fitter = Fitter()
        self._large = asyncio.Semaphore(1)

    async def answer(self, turn: ChatTurn | Ask) -> AsyncGenerator[GenerationEvent, None]:
        """[LeftOut] Queued* Progress* (TextDelta | ToolCallDelta)* Finished. Closing the generator
        stops the engine.

        LeftOut comes first if history was left out; when a swap during the wait in line changed
        what fits, another LeftOut replaces it before any text. Raises InvalidRequest,
        SchemaRefused and ContextLengthExceeded before the engine is asked, whatever the manager
        raises, and GenerationFailed in the place of Finished for an answer that is not of the form
        that was asked for.
        """
        if isinstance(turn, Ask):
            check_ask(turn)
        else:
            check_turn(turn)
        plan = await self._plan(turn)
        told = LeftOut(0, 0)
        for _ in range(MOST_PLANS):
            if plan.left_out != told:
                told = plan.left_out
                yield told
            newer: _Plan | None = None
            async with contextlib.aclosing(self._played(turn, plan)) as events:
                async for event in events:
                    if isinstance(event, _Plan):
                        newer = event
                        break
                    yield event
            if newer is None:
                return
            plan = newer
        raise ModelSwitching(
            "The model was swapped again and again while the request waited. Send it once more."
        )

    async def _played(
        self, turn: ChatTurn | Ask, plan: _Plan
    ) -> AsyncGenerator[GenerationEvent | _Plan, None]:
        """The events of `plan`, checked at the end; or another plan, before any of the engine's."""
        finished: Finished | None = None
        reader = AnswerReader(plan.request.sampling.constraint, self._structured)
        async with contextlib.aclosing(self._manager.stream(plan.request)) as events:
            waiting = True
            try:
                async for event in events:
                    if waiting and not isinstance(event, Queued):
                        waiting = False
                        newer = await self._newer(turn, plan)
                        if newer is not None:
                            yield newer
                            return
                    if isinstance(event, Finished):
                        finished = event  # the engine is free for others while this is checked
                        continue
                    for read in reader.push(event):
                        yield read
            except ContextLengthExceeded:
                # The engine that came while this waited holds less than the one before.
                newer = await self._newer(turn, plan) if waiting else None
                if newer is None:
                    raise
                yield newer
                return
        assert finished is not None, "a stream that raises nothing is finished"
        for read in reader.rest(finished):
            yield read
        yield await reader.checked(finished)

    def context_use(self, turn: ChatTurn) -> ContextUse:
        """What `turn` would take of the context; its text may still be empty.

        Counts tokens: call it through asyncio.to_thread when the history may be long and new.
        Raises ModelNotReady while no checkpoint is loaded, and NotFound for an unknown persona.
        """
        loaded = loaded_in(self._manager)
        fitted = self._fit(turn, loaded, self._sampling(turn, loaded.info))
        text = self._fitter.cost(loaded.tokenizer, fitted.messages[-1:])
        return ContextUse(
            used=fitted.tokens,
            available=loaded.info.max_context,
            left_out_turns=fitted.left_out.turns,
            system_tokens=fitted.base - text,
        )

    async def _plan(self, turn: ChatTurn | Ask) -> _Plan:
        loaded = loaded_in(self._manager)
        sampling = self._sampling(turn, loaded.info)
        constraint, needed = sampling.constraint, 0
        if constraint is not None:
            needed = await needed_tokens(self._structured, constraint, loaded.info)
        # Rendering and counting take milliseconds to seconds: off the loop.
        async with self._large if _letters(turn) > LARGE else contextlib.nullcontext():
            if isinstance(turn, Ask):
                with form_counted(constraint):
                    fitted = await asyncio.to_thread(_whole, turn, loaded, constraint)
            else:
                fitted = await asyncio.to_thread(self._fit, turn, loaded, sampling)
        wanted = sampling.max_new_tokens or max(DEFAULT_NEW_TOKENS, needed)
        context, tokens = loaded.info.max_context, fitted.tokens
        if not loaded.tokenizer.exact:
            # A guess refuses nothing: the engine counts, and says when it is too much.
            tokens = min(tokens, context - min(wanted, context // 4))
        with form_counted(constraint):
            room = room_for_answer(tokens, context, wanted)
        if needed > room:
            raise budget_too_small(needed, room)
        request = GenerationRequest(
            id=turn.request_id or secrets.token_hex(8),
            messages=fitted.messages,
            sampling=dataclasses.replace(sampling, max_new_tokens=room),
            tools=_offered(turn),
            prompt=turn.prompt if isinstance(turn, Ask) else None,
        )
        return _Plan(request, fitted.left_out, loaded)

    async def _newer(self, turn: ChatTurn | Ask, plan: _Plan) -> _Plan | None:
        """Another plan, if a swap since `plan` was made asks for another request."""
        if loaded_in(self._manager) == plan.made_for:
            return None
        named = dataclasses.replace(turn, request_id=plan.request.id)
        newer = await self._plan(named)
        if newer.request == plan.request:
            return None
        # An engine may still be busy ending the stream of that id.
        request = dataclasses.replace(newer.request, id=plan.request.id + "-again")
        return dataclasses.replace(newer, request=request)

    def _sampling(self, turn: ChatTurn | Ask, info: EngineInfo) -> Sampling:
        """The turn's values over the persona's over the checkpoint's, with its constraint."""
        sampling = turn.sampling
        if isinstance(turn, ChatTurn) and turn.persona is not None:
            sampling = sampling.over(self._personas.get(turn.persona).sampling)
        constraint = sampling.constraint
        if offered := _offered(turn):
            choice, parallel = "auto", True
            if isinstance(turn, Ask):
                choice, parallel = turn.tool_choice, turn.parallel_calls
            constraint = tools_constraint(offered, choice, parallel)
        if constraint is not None:
            sampling = constrained(sampling, constraint)
        # The length is this module's decision; the rest of the defaults are the checkpoint's.
        return sampling.over(dataclasses.replace(info.defaults, max_new_tokens=None))

    def _fit(self, turn: ChatTurn, loaded: Loaded, sampling: Sampling) -> Fitted:
        context = loaded.info.max_context
        reserve = min(sampling.max_new_tokens or RESERVE, context // 4)
        return self._fitter.fit(
            loaded.tokenizer,
            (instructed(self._system(turn), sampling.constraint), Message("user", turn.text)),
            tuple(repaired(message) for message in turn.history),
            turn.tools,
            context - reserve if turn.fit_history else None,
        )

    def _system(self, turn: ChatTurn) -> Turn:
        if turn.system is not None:
            return (Message("system", turn.system),)
        if turn.persona is not None:
            return (Message("system", self._personas.get(turn.persona).system[turn.language]),)
        return ()


def _whole(ask: Ask, loaded: Loaded, constraint: Constraint | None) -> Fitted:
    """All of `ask`. Raises ContextLengthExceeded that names the field at fault."""
    if ask.prompt is not None:
        messages: tuple[Message, ...] = ()
        tokens = loaded.tokenizer.count_prompt(ask.prompt)
    else:
        messages = instructed(ask.messages, constraint)
        tokens = loaded.tokenizer.count_chat(messages, _offered(ask))
    try:
        if loaded.tokenizer.exact:
            room_for_answer(tokens, loaded.info.max_context, None)
    except ContextLengthExceeded as error:
        param = "messages" if ask.prompt is None else "prompt"
        raise ContextLengthExceeded(error.message, param=param) from error
    return Fitted(messages, tokens, tokens, LeftOut(0, 0))


def _offered(turn: ChatTurn | Ask) -> tuple[Mapping[str, Any], ...]:
    """The tools the model is told of."""
    return () if isinstance(turn, Ask) and turn.tool_choice == "none" else turn.tools


def _letters(turn: ChatTurn | Ask) -> int:
    if isinstance(turn, Ask):
        return len(turn.prompt or ()) + sum(len(m.content) for m in turn.messages)
    return len(turn.text) + len(turn.system or "") + sum(len(m.content) for m in turn.history)
