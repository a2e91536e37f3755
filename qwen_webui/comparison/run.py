"""One comparison from beginning to end: loads each checkpoint in turn and asks it every prompt.

Publishes a new value of the Comparison at every step. Who may start one, and what is kept of it,
is comparisons.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from qwen_webui.chat.assistant import DEFAULT_NEW_TOKENS
from qwen_webui.comparison.differences import first_difference
from qwen_webui.comparison.values import Answer, Column, ColumnState, Comparison, Prompt
from qwen_webui.engines.room import room_for_answer
from qwen_webui.errors import EngineCrashed, EngineTimeout, ShuttingDown, WebUIError
from qwen_webui.measure.surroundings import hardware, versions
from qwen_webui.models import ModelManager
from qwen_webui.models.reserved import Reserved
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import EngineInfo, Finished, GenerationRequest, Sampling, TextDelta

log = logging.getLogger(__name__)

REASON = "Checkpoints are being compared; the one from before answers again afterwards."
GREEDY = 0.0
MEASURE_SECONDS = 0.5  # between looks at the memory while a checkpoint answers
MOST_DEATHS = 3  # of one checkpoint's process; then the others go on
UNFORESEEN = "This ended with an internal error; the log has the details."


class Job:
    """Runs `comparison`; `publish` gets every new value of it, the last one with how it ended."""

    def __init__(
        self, manager: ModelManager, comparison: Comparison, publish: Callable[[Comparison], None]
    ) -> None:
        self._manager = manager
        self._publish = publish
        self._reference: list[tuple[str, list[bytes]] | None] = []
        self.now = comparison

    async def run(self) -> None:
        """All of it. Cancelling the task ends it where it is; the model is given back first."""
        reserved: Reserved | None = None
        end: dict[str, Any]
        try:
            async with self._manager.reserved(REASON) as reserved:
                await self._compare(reserved)
            end = self._end()
        except asyncio.CancelledError:
            end = {"state": "cancelled"}
        except ShuttingDown as error:
            end = {"state": "cancelled", "error": error.message}
        except WebUIError as error:
            end = {"state": "failed", "error": error.message}
        except Exception:
            log.exception("a comparison failed")
            end = {"state": "failed", "error": UNFORESEEN}
        if reserved is not None and reserved.lost is not None:
            title = reserved.previous.plan.spec.title if reserved.previous else ""
            end["error"] = (
                f"{title} was loaded before and could not be given back: {reserved.lost.message}"
            )
        self._post(columns=tuple(map(_closed, self.now.columns)), **end)

    def cut_off(self) -> None:
        """It was cancelled before its first step."""
        self._post(state="cancelled", columns=tuple(map(_closed, self.now.columns)))

    async def _compare(self, reserved: Reserved) -> None:
        previous = reserved.previous
        memory = await reserved.memory()
        self._post(
            state="running",
            previous=previous.name if previous else None,
            versions=tuple(versions().items()),
            hardware=await asyncio.to_thread(hardware, memory),
        )
        try:
            for place, column in enumerate(self.now.columns):
                reserved.tell(place, len(self.now.columns))
                try:
                    await self._column(reserved, place)
                except WebUIError as error:
                    self._change(place, state="failed", error=error.message)
                except Exception:
                    log.exception("%s failed in a comparison", column.checkpoint)
                    self._change(place, state="failed", error=UNFORESEEN)
        finally:
            self._post(state="restoring")

    async def _column(self, reserved: Reserved, place: int) -> None:
        self._change(place, state="loading")
        name = self.now.columns[place].checkpoint
        info = await reserved.load(name)
        self._change(
            place,
            state="answering",
            kernel=info.kernel,
            device_name=info.device_name,
            load_seconds=info.load_seconds,
            weights_bytes=info.weights_bytes,
            cache_bytes=info.cache_bytes or None,
        )
        deaths = 0
        async with self._measured(reserved, place):
            for number, prompt in enumerate(self.now.wanted.prompts):
                info = await reserved.load(name)  # again, where its process died meanwhile
                try:
                    await self._ask(reserved, info, place, number, prompt)
                except WebUIError as error:
                    self._answer(place, number, error=error.message)
                    deaths += isinstance(error, EngineCrashed | EngineTimeout)
                    if deaths == MOST_DEATHS:
                        raise
        self._change(place, state="done", **_medians(self.now.columns[place].answers))

    async def _ask(
        self, reserved: Reserved, info: EngineInfo, place: int, number: int, prompt: Prompt
    ) -> None:
        tokenizer = reserved.tokenizer
        sampling = await asyncio.to_thread(
            fitted, tokenizer, prompt, info.max_context, self.now.wanted.sampling
        )
        name = f"{self.now.id}-{place}-{number}"
        complete = sampling.over(dataclasses.replace(info.defaults, max_new_tokens=None))
        request = GenerationRequest(name, prompt.messages, complete)
        async with contextlib.aclosing(reserved.stream(request)) as events:
            async for event in events:
                answer = self.now.columns[place].answers[number]
                if isinstance(event, TextDelta):
                    spoken = tuple(i for i in event.token_ids if tokenizer.token_bytes(i))
                    self._answer(
                        place,
                        number,
                        text=answer.text + event.text,
                        token_ids=answer.token_ids + spoken,
                    )
                elif isinstance(event, Finished):
                    ended = "length" if event.reason == "length" else "stop"
                    told = self._held_against(tokenizer, place, number, answer)
                    self._answer(place, number, usage=event.usage, ended=ended, **told)

    def _held_against(
        self, tokenizer: ChatTokenizer, place: int, number: int, answer: Answer
    ) -> dict[str, Any]:
        """Whether and where a finished answer leaves that of the first column."""
        said = answer.text, [tokenizer.token_bytes(token) for token in answer.token_ids]
        if place == 0:
            self._reference += [None] * (number + 1 - len(self._reference))
            self._reference[number] = said
            return {}
        reference = self._reference[number] if number < len(self._reference) else None
        if reference is None:
            return {}  # the first column has no such answer
        difference = first_difference(reference, said)
        return {"equal": difference is None, "difference": difference}

    @contextlib.asynccontextmanager
    async def _measured(self, reserved: Reserved, place: int) -> AsyncIterator[None]:
        """Note the most memory while the block runs, at its end too."""
        watching = asyncio.create_task(self._watch(reserved, place))
        try:
            yield
            await self._look(reserved, place)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, reserved: Reserved, place: int) -> None:
        while True:
            await self._look(reserved, place)
            await asyncio.sleep(MEASURE_SECONDS)

    async def _look(self, reserved: Reserved, place: int) -> None:
        try:
            used = (await reserved.memory()).used_by_engine
        except WebUIError as error:
            log.info("the memory of a comparison was not measured: %s", error.message)
            return
        self._change(place, peak_bytes=max(used, self.now.columns[place].peak_bytes or 0))

    def _end(self) -> dict[str, Any]:
        if all(column.state == "failed" for column in self.now.columns):
            return {"state": "failed", "error": self.now.columns[0].error}
        return {"state": "done"}

    def _answer(self, place: int, number: int, **changes: Any) -> None:
        answers = list(self.now.columns[place].answers)
        answers[number] = dataclasses.replace(answers[number], **changes)
        self._change(place, answers=tuple(answers))

    def _change(self, place: int, **changes: Any) -> None:
        columns = list(self.now.columns)
        columns[place] = dataclasses.replace(columns[place], **changes)
        self._post(columns=tuple(columns))

    def _post(self, **changes: Any) -> None:
        self.now = dataclasses.replace(self.now, **changes)
        self._publish(self.now)


def fitted(tokenizer: ChatTokenizer, prompt: Prompt, context: int, asked: Sampling) -> Sampling:
    """`asked`, greedy unless it says otherwise, with the room that `prompt` leaves in a context of
    so many tokens. Raises ContextLengthExceeded. Counts: call it in a thread."""
    wanted = asked.max_new_tokens or DEFAULT_NEW_TOKENS
    tokens = tokenizer.count_chat(prompt.messages)
    if not tokenizer.exact:
        # A guess refuses nothing: the engine counts, and says when it is too much.
        tokens = min(tokens, context - min(wanted, context // 4))
    room = room_for_answer(tokens, context, wanted)
    temperature = GREEDY if asked.temperature is None else asked.temperature
    repetition = asked.repetition_penalty
    if temperature == GREEDY and repetition is None:
        # Plain greedy: a penalty of the checkpoint's own would choose other tokens here and there.
        repetition = 1.0
    return dataclasses.replace(
        asked, temperature=temperature, repetition_penalty=repetition, max_new_tokens=room
    )


def _medians(answers: Sequence[Answer]) -> dict[str, Any]:
    usages = [answer.usage for answer in answers if answer.usage is not None]
    speeds = [usage.tokens_per_second for usage in usages if usage.tokens_per_second > 0]
    delays = [usage.seconds_to_first_token for usage in usages]
    return {
        "tokens_per_second": statistics.median(speeds) if speeds else None,
        "first_token_seconds": statistics.median(delays) if delays else None,
    }


def _closed(column: Column) -> Column:
    """A column that was cut off: what it has been asked is kept, with its figures."""
    if column.state in ("done", "failed", "not_run"):
        return column
    begun = any(answer.text or answer.usage or answer.error for answer in column.answers)
    state: ColumnState = "done" if begun else "not_run"
    return dataclasses.replace(column, state=state, **_medians(column.answers))
