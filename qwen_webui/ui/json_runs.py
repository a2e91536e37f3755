"""One run of the JSON tab: what the page asks for, followed to its end, kept in the store.

The page reads a stream of lines; when it goes away, presses Stop or has read to the end, the engine
stops at once. What had arrived is kept whatever ends the run. Makes no HTML.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from qwen_webui.errors import InvalidRequest, WebUIError
from qwen_webui.limits import RANGES
from qwen_webui.services import Services
from qwen_webui.store import JsonRun
from qwen_webui.types import ChatTurn, Constraint, Sampling
from qwen_webui.ui.answering import Answer, Answerer, DocumentAnswerer, RunningAnswer
from qwen_webui.ui.form import document_ids

log = logging.getLogger(__name__)

MAX_PROMPT = 1_000_000  # characters; the context's own limit says more, and sooner
# Seconds between two pieces for the page, and between two looks at a waiting line or a load.
PAUSE, LOOK = 1 / 13, 0.5
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Order:
    """What the page asks for, checked. `ticket` names the run for Stop; `documents` are the ids of
    what it is answered from."""

    prompt: str
    schema: str
    max_new_tokens: int | None
    ticket: str = ""
    documents: tuple[str, ...] = ()

    @classmethod
    def read(cls, sent: Mapping[str, Any]) -> Order:
        """From what a browser sent, which may be anything. Raises InvalidRequest."""
        most, ticket = sent.get("max_new_tokens"), sent.get("ticket", "")
        allowed = RANGES["max_new_tokens"]
        if most is not None and most not in allowed:
            raise InvalidRequest(
                f"The longest answer must be {allowed}.", code="bad_length", param="max_new_tokens"
            )
        if not isinstance(ticket, str) or (ticket and not _ID.fullmatch(ticket)):
            raise InvalidRequest("The page is out of date. Reload it.", param="ticket")
        prompt = text_field(sent, "prompt")
        if len(prompt) > MAX_PROMPT:
            raise InvalidRequest(
                f"The prompt has {len(prompt):,} characters; at most {MAX_PROMPT:,} are taken.",
                param="prompt",
            )
        documents = document_ids(sent.get("documents", []))
        return cls(prompt, text_field(sent, "schema"), most, ticket, documents)

    @property
    def turn(self) -> ChatTurn:
        """The same for the assistant."""
        constraint = Constraint("json_schema", self.schema)
        sampling = Sampling(constraint=constraint, max_new_tokens=self.max_new_tokens)
        return ChatTurn(self.prompt, sampling=sampling)


@dataclass(frozen=True)
class End:
    """How a run ended. `kept` is what the store holds of it, None if nothing; `failure` is why it
    could not be kept."""

    answer: Answer
    kept: JsonRun | None
    failure: WebUIError | None = None


class JsonRuns:
    """The runs being computed, by owner and ticket."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: dict[tuple[str, str], RunningAnswer] = {}
        self._tasks: set[asyncio.Task[End]] = set()

    async def follow(self, owner: str, order: Order) -> AsyncGenerator[RunningAnswer | End, None]:
        """The running answer, again and again as it grows; its End once, last. Closing this stops
        the engine."""
        services = self._services
        running = RunningAnswer(self._answerer(owner, order), services.manager, order.turn)
        key = (owner, order.ticket)
        self._running[key] = running
        # Apart from this generator, which a closed tab cancels at whatever it waits for.
        end = asyncio.create_task(self._keep(owner, order, running), name="json-run")
        self._tasks.add(end)
        end.add_done_callback(self._tasks.discard)
        try:
            seen = -1
            while not running.answer.done:
                seen = await running.news(seen, LOOK)
                yield running
                await running.rest(PAUSE)
            yield running
            yield await asyncio.shield(end)
        finally:
            running.stop()
            if self._running.get(key) is running:
                del self._running[key]

    def _answerer(self, owner: str, order: Order) -> Answerer:
        """Who answers: the analyst where there are documents."""
        services = self._services
        if not order.documents:
            return services.assistant
        return DocumentAnswerer(services.analyst, services.assistant, owner, order.documents)

    def stop(self, owner: str, ticket: str) -> None:
        """Stop this owner's run of that ticket, if there is one."""
        running = self._running.get((owner, ticket))
        if running is not None:
            running.stop()

    async def _keep(self, owner: str, order: Order, running: RunningAnswer) -> End:
        await running.ended()
        answer = running.answer
        if not answer.text and answer.reason is None:
            return End(answer, None)
        try:
            return End(answer, await self._services.store.runs.add(owner, _record(order, answer)))
        except WebUIError as error:
            log.warning("a run was not kept: %s", error.message)
            return End(answer, None, error)


def text_field(sent: Mapping[str, Any], name: str) -> str:
    """A text that the page must send and that is not blank. Raises InvalidRequest."""
    value = sent.get(name)
    if not isinstance(value, str):
        raise InvalidRequest("The page is out of date. Reload it.", param=name)
    if not value.strip():
        raise InvalidRequest("It is empty. Write something.", code=f"empty_{name}", param=name)
    return value


def _record(order: Order, answer: Answer) -> JsonRun:
    outcome = "valid" if answer.reason is not None and answer.error is None else "stopped"
    return JsonRun(
        prompt=order.prompt,
        schema=order.schema,
        answer=answer.text,
        outcome="failed" if answer.error is not None else outcome,  # type: ignore[arg-type]
        max_new_tokens=order.max_new_tokens,
        closed=answer.closed,
        error=answer.error.code if answer.error is not None else "",
        model=answer.model,
        precision=answer.precision,
        usage=answer.usage,
        sources=answer.sources,
    )
