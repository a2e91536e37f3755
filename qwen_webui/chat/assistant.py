"""One turn of a chat: persona, sampling and history become a request; its events come back.

The same for the page, the API and the command line. Decides what is sent to the model and never
how it computes; keeps no conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from qwen_webui.chat.fitting import Fitted, Fitter, Turn
from qwen_webui.engines.room import room_for_answer
from qwen_webui.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotReady,
    ModelSwitching,
)
from qwen_webui.limits import check_sampling
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    ChatTurn,
    EngineInfo,
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
# Seconds; when a first load ends is not known beforehand.
RETRY_AFTER = 5


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
class _Loaded:
    """What a request is made for."""

    info: EngineInfo
    tokenizer: ChatTokenizer


@dataclass(frozen=True)
class _Plan:
    """A request, and the checkpoint it was made for."""

    request: GenerationRequest
    left_out: LeftOut
    made_for: _Loaded


class Assistant:
    """Answers turns with whatever checkpoint the manager has loaded."""

    def __init__(self, manager: ModelManager, personas: Personas) -> None:
        self._manager = manager
        self._personas = personas
        self._fitter = Fitter()
        self._large = asyncio.Semaphore(1)

    async def answer(self, turn: ChatTurn) -> AsyncGenerator[GenerationEvent, None]:
        """[LeftOut] Queued* Progress* TextDelta* Finished. Closing the generator stops the engine.

        LeftOut comes first if history was left out; when a swap during the wait in line changed
        what fits, another LeftOut replaces it before any text. Raises InvalidRequest and
        ContextLengthExceeded before the engine is asked, and whatever the manager raises.
        """
        check_turn(turn)
        plan = await self._plan(turn)
        told = LeftOut(0, 0)
        for _ in range(MOST_PLANS):
            if plan.left_out != told:
                told = plan.left_out
                yield told
            newer: _Plan | None = None
            async with contextlib.aclosing(self._manager.stream(plan.request)) as events:
                waiting = True
                try:
                    async for event in events:
                        if waiting and not isinstance(event, Queued):
                            waiting = False
                            newer = await self._newer(turn, plan)
                            if newer is not None:
                                break
                        yield event
                except ContextLengthExceeded:
                    # The engine that came while this waited holds less than the one before.
                    newer = await self._newer(turn, plan) if waiting else None
                    if newer is None:
                        raise
            if newer is None:
                return
            plan = newer
        raise ModelSwitching(
            "The model was swapped again and again while the request waited. Send it once more."
        )

    def context_use(self, turn: ChatTurn) -> ContextUse:
        """What `turn` would take of the context; its text may still be empty.

        Counts tokens: call it through asyncio.to_thread when the history may be long and new.
        Raises ModelNotReady while no checkpoint is loaded, and NotFound for an unknown persona.
        """
        loaded = self._loaded()
        fitted = self._fit(turn, loaded, self._sampling(turn, loaded.info))
        text = self._fitter.cost(loaded.tokenizer, fitted.messages[-1:])
        return ContextUse(
            used=fitted.tokens,
            available=loaded.info.max_context,
            left_out_turns=fitted.left_out.turns,
            system_tokens=fitted.base - text,
        )

    def _loaded(self) -> _Loaded:
        tokenizer = self._manager.tokenizer()
        status = self._manager.status()
        if status.info is None:
            raise ModelNotReady(
                f"{status.target or 'The model'} is being loaded. Try again when it is ready.",
                retry_after=RETRY_AFTER,
            )
        return _Loaded(status.info, tokenizer)

    async def _plan(self, turn: ChatTurn, made: int = 0) -> _Plan:
        loaded = self._loaded()
        sampling = self._sampling(turn, loaded.info)
        # Rendering and counting take milliseconds to seconds: off the loop.
        async with self._large if _letters(turn) > LARGE else contextlib.nullcontext():
            fitted = await asyncio.to_thread(self._fit, turn, loaded, sampling)
        wanted = sampling.max_new_tokens or DEFAULT_NEW_TOKENS
        room = room_for_answer(fitted.tokens, loaded.info.max_context, wanted)
        request = GenerationRequest(
            id=turn.request_id or secrets.token_hex(8),
            messages=fitted.messages,
            sampling=dataclasses.replace(sampling, max_new_tokens=room),
            tools=turn.tools,
        )
        return _Plan(request, fitted.left_out, loaded)

    async def _newer(self, turn: ChatTurn, plan: _Plan) -> _Plan | None:
        """Another plan, if a swap since `plan` was made asks for another request."""
        if self._loaded() == plan.made_for:
            return None
        named = dataclasses.replace(turn, request_id=plan.request.id)
        newer = await self._plan(named)
        if newer.request == plan.request:
            return None
        # An engine may still be busy ending the stream of that id.
        request = dataclasses.replace(newer.request, id=plan.request.id + "-again")
        return dataclasses.replace(newer, request=request)

    def _sampling(self, turn: ChatTurn, info: EngineInfo) -> Sampling:
        """The turn's values over the persona's over the checkpoint's."""
        sampling = turn.sampling
        if turn.persona is not None:
            sampling = sampling.over(self._personas.get(turn.persona).sampling)
        # The length is this module's decision; the rest of the defaults are the checkpoint's.
        return sampling.over(dataclasses.replace(info.defaults, max_new_tokens=None))

    def _fit(self, turn: ChatTurn, loaded: _Loaded, sampling: Sampling) -> Fitted:
        context = loaded.info.max_context
        reserve = min(sampling.max_new_tokens or RESERVE, context // 4)
        return self._fitter.fit(
            loaded.tokenizer,
            (self._system(turn), Message("user", turn.text)),
            tuple(_repaired(message) for message in turn.history),
            turn.tools,
            context - reserve if turn.fit_history else None,
        )

    def _system(self, turn: ChatTurn) -> Turn:
        if turn.system is not None:
            return (Message("system", turn.system),)
        if turn.persona is not None:
            return (Message("system", self._personas.get(turn.persona).system[turn.language]),)
        return ()


def check_turn(turn: ChatTurn) -> None:
    """Raise InvalidRequest for a text or a sampling value that cannot be used."""
    if not turn.text.strip():
        raise InvalidRequest("The text is empty. Write something.", param="prompt")
    for param, text in (("prompt", turn.text), ("system", turn.system or "")):
        if _repair(text) != text:
            raise InvalidRequest(
                "The text holds a NUL character or half of a surrogate pair, which no text can"
                " hold. Remove it, or save the source as UTF-8.",
                param=param,
            )
    check_sampling(turn.sampling)


def _letters(turn: ChatTurn) -> int:
    return len(turn.text) + len(turn.system or "") + sum(len(m.content) for m in turn.history)


def _repair(text: str) -> str:
    """`text` with NUL and half surrogate pairs marked U+FFFD."""
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _repaired(message: Message) -> Message:
    # Refused in what a person types now; in what was said before it must not end the conversation.
    content = _repair(message.content)
    return message if content == message.content else dataclasses.replace(message, content=content)
