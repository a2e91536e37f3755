"""Several answers at once, each through the one line, from the checkpoint that was asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request

from qwen_webui.api.openai.models import Served, make_ready
from qwen_webui.errors import ModelSwitching
from qwen_webui.services import Services
from qwen_webui.types import Ask, GenerationEvent, LeftOut, Progress, Queued

# Of one request; the others of it begin as these end.
MOST_AT_ONCE = 8
# How often a checkpoint that was swapped away while the request waited is loaded again.
MOST_TRIES = 3

Answered = GenerationEvent | Served


@dataclass(frozen=True)
class _Stream:
    """One of several answers."""

    place: int
    events: AsyncGenerator[Answered, None]

    def step(self) -> asyncio.Task[Answered | None]:
        """Its next event, or None at its end."""
        return asyncio.create_task(_next(self.events))


def copies(ask: Ask, n: int) -> list[Ask]:
    """The same `n` times: seeds count up, so that answers differ and can be had again."""
    seed = ask.sampling.seed
    return [
        dataclasses.replace(
            ask,
            sampling=dataclasses.replace(
                ask.sampling, seed=None if seed is None else (seed + place) % 2**63
            ),
        )
        for place in range(n)
    ]


async def answers(
    services: Services, request: Request, asks: Sequence[Ask], model: str | None
) -> AsyncGenerator[tuple[int, Answered], None]:
    """Events of every ask with its place, as they come; Served once, before all others. Closing
    this stops every engine stream; the first error ends all. Raises what answering raises."""
    served: Served | None = None
    async with aclosing(_together(services, request, asks, model)) as events:
        async for place, event in events:
            if not isinstance(event, Served):
                yield place, event
            elif served is None:
                served = event
                yield place, event
            elif served != event:
                raise _switched()


async def _together(
    services: Services, request: Request, asks: Sequence[Ask], model: str | None
) -> AsyncGenerator[tuple[int, Answered], None]:
    if len(asks) == 1:
        async with aclosing(_answer(services, request, asks[0], model)) as events:
            async for event in events:
                yield 0, event
        return
    waiting = list(enumerate(asks))
    steps: dict[asyncio.Task[Answered | None], _Stream] = {}
    streams: list[_Stream] = []
    try:
        while waiting or steps:
            while waiting and len(steps) < MOST_AT_ONCE:
                place, ask = waiting.pop(0)
                streams.append(_Stream(place, _answer(services, request, ask, model)))
                steps[streams[-1].step()] = streams[-1]
            done, _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
            for step in done:
                stream = steps.pop(step)
                found = step.result()
                if found is not None:
                    # As slow as its reader: nothing is taken far ahead of what was sent.
                    steps[stream.step()] = stream
                    yield stream.place, found
    finally:
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        for stream in streams:
            await stream.events.aclose()


async def _answer(
    services: Services, request: Request, ask: Ask, model: str | None
) -> AsyncGenerator[Answered, None]:
    for _ in range(MOST_TRIES):
        wanted = await make_ready(services, request, model)
        # Clients may repeat the name they give a request; what an engine runs must not.
        number = f"{request.scope['state']['request_id']}.{secrets.token_hex(4)}"
        named = dataclasses.replace(ask, request_id=number)
        async with aclosing(services.assistant.answer(named)) as events:
            begun = False
            async for event in events:
                if not begun and not isinstance(event, Queued | LeftOut):
                    served = _serving(services)
                    if wanted not in (None, served.model):
                        break  # swapped while this waited in line
                    begun = True
                    yield served
                if not isinstance(event, LeftOut | Progress):
                    yield event
            else:
                return
    raise _switched()


def _serving(services: Services) -> Served:
    """Called at an engine's first event, while it cannot be swapped."""
    info = services.manager.status().info
    assert info is not None, "an engine that answers is loaded"
    return Served.of(info, services.manager.tokenizer())


def _switched() -> ModelSwitching:
    return ModelSwitching(
        "The model was swapped for another while the request waited. Send it once more.",
        retry_after=1,
    )


async def _next(events: AsyncGenerator[Answered, None]) -> Answered | None:
    return await anext(events, None)
