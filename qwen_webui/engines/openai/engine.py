"""One model of another server, behind the protocol of base.py.

Where the model's tokenizer is on this computer, prompts are counted before they are sent; where it
is not, the server counts and refuses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, TypeVar

from qwen_webui.engines.base import Engine
from qwen_webui.engines.openai.answer import AnswerPieces, Vocabulary
from qwen_webui.engines.openai.body import CHAT, TEXT, chat_body, score_body, text_body
from qwen_webui.engines.openai.connection import Connection, ServedModel
from qwen_webui.engines.openai.failures import GONE, read
from qwen_webui.engines.room import refuse_long_text, room_for_answer
from qwen_webui.errors import EngineCrashed, InvalidRequest, ModelSwitching, WebUIError
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    CheckpointSpec,
    DistributionRequest,
    Distributions,
    EngineInfo,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Usage,
)

UNLOADED = "The model was unloaded before the answer was complete. Send the request again."
# How often the server is asked whether it is there, and how long it may take to say so.
WATCH_SECONDS = 2.0
ANSWER_SECONDS = 5.0

T = TypeVar("T")


class OpenAIEngine(Engine):
    """Asks `connection` for `model`. With `tokenizer` and `vocabulary`, tokens are known."""

    def __init__(
        self,
        connection: Connection,
        model: ServedModel,
        info: EngineInfo,
        tokenizer: ChatTokenizer | None,
        vocabulary: Vocabulary | None,
    ) -> None:
        self._connection = connection
        self._model = model
        self._info = info
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        loop = asyncio.get_running_loop()
        self._end: asyncio.Future[WebUIError] = loop.create_future()
        self._watch = asyncio.create_task(self._watched())

    @property
    def checkpoint(self) -> CheckpointSpec:
        """See Engine."""
        return self._info.checkpoint

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return self._info

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """See Engine. The server tells nothing of its prefill."""
        started = time.monotonic()
        first: float | None = None
        request, prompt = await self._unless_ended(self._fitted(request))
        path, body = self._asked(request)
        pieces = AnswerPieces(self._vocabulary, request.sampling.logprobs)
        async with aclosing(self._connection.events(path, body)) as chunks:
            while (chunk := await self._next(chunks)) is not None:
                first = first or time.monotonic()
                for delta in pieces.chat(chunk) if path == CHAT else pieces.text(chunk):
                    yield delta
        if pieces.reason is None:
            raise self._gone()
        now = time.monotonic()
        seconds = (max((first or now) - started, 1e-6), now - started)
        yield Finished(pieces.reason, _usage(pieces, prompt, *seconds))

    async def score(self, token_ids: Sequence[int]) -> list[float]:
        """See Engine."""
        refuse_long_text(len(token_ids), self._info.max_context)
        if len(token_ids) == 1:
            self._refuse_if_ended()
            return []
        body = score_body(self._model.name, token_ids)
        answer = await self._unless_ended(self._connection.post(TEXT, body))
        with read():
            values = answer["choices"][0]["logprobs"]["token_logprobs"][1 : len(token_ids)]
            return [float(value) for value in values]

    async def distributions(self, asked: DistributionRequest) -> Distributions:
        """See Engine. Refused: servers tell a few log-probabilities, by text and not by id."""
        self._refuse_if_ended()
        raise InvalidRequest(
            "Another server computes this model, and servers do not tell distributions over the "
            "vocabulary. Start without --engine-url, so that this program computes.",
            code="unsupported_parameter",
        )

    async def ended(self) -> None:
        """See Engine."""
        await asyncio.wait((self._end,))

    async def close(self) -> None:
        """See Engine. The server keeps its model."""
        self._finish(ModelSwitching(UNLOADED))
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.shield(self._watch)

    async def _fitted(self, request: GenerationRequest) -> tuple[GenerationRequest, int]:
        """The request with the length its answer can have, and its prompt's tokens if known."""
        if request.prompt is None and not request.messages:
            raise InvalidRequest("There is no message. Send at least one.", param="messages")
        if self._tokenizer is None:
            if request.sampling.logprobs is not None:
                raise InvalidRequest(
                    "Log-probabilities cannot be told: another server computes this model, and "
                    "the files of its tokenizer are not on this computer. Leave them out.",
                    code="unsupported_parameter",
                    param="logprobs",
                )
            return request, 0
        prompt = len(await asyncio.to_thread(self._tokenizer.encode_request, request))
        wanted = request.sampling.max_new_tokens
        room = room_for_answer(prompt, self._info.max_context, wanted)
        return replace(request, sampling=replace(request.sampling, max_new_tokens=room)), prompt

    def _asked(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        name, owner = self._model.name, self._model.owner
        if request.prompt is not None:
            return TEXT, text_body(name, owner, request)
        return CHAT, chat_body(name, owner, request, tokens=self._vocabulary is not None)

    async def _next(self, chunks: AsyncGenerator[Any, None]) -> Any:
        """The next chunk, or None at the end."""
        try:
            return await self._unless_ended(anext(chunks, None))
        except EngineCrashed as error:
            self._finish(error)
            raise

    async def _unless_ended(self, waited: Awaitable[T]) -> T:
        """What is waited for, unless the engine ends first: then its reason is raised."""
        task = asyncio.ensure_future(waited)
        try:
            if not self._end.done():
                await asyncio.wait((task, self._end), return_when=asyncio.FIRST_COMPLETED)
            self._refuse_if_ended()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # told above, or not news any more

    def _refuse_if_ended(self) -> None:
        if self._end.done():
            raise self._end.result()

    def _finish(self, reason: WebUIError) -> None:
        """Every stream, open or new, raises `reason` from now on."""
        if not self._end.done():
            self._end.set_result(reason)

    def _gone(self) -> EngineCrashed:
        error = EngineCrashed(GONE)
        self._finish(error)
        return error

    async def _watched(self) -> None:
        """Notice that the server is gone, asked or not. One that is only slow is not."""
        missed = 0
        while missed < 2:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._connection.models(ANSWER_SECONDS)
            except EngineCrashed:
                missed += 1
            except WebUIError:
                pass  # it is there; what is wrong is told to whoever asks for an answer
            else:
                missed = 0
        self._gone()


def _usage(pieces: AnswerPieces, prompt: int, first: float, seconds: float) -> Usage:
    """The server's counts; without them, what was counted here."""
    with read():
        told = pieces.usage or {}
        details = told.get("prompt_tokens_details") or {}
        return Usage(
            prompt_tokens=int(told.get("prompt_tokens") or prompt),
            completion_tokens=int(told.get("completion_tokens") or pieces.tokens),
            cached_tokens=int(details.get("cached_tokens") or 0),
            seconds_to_first_token=first,
            seconds=seconds,
        )
