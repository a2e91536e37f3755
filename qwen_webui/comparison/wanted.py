"""What of a comparison is refused before anything is loaded for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from qwen_webui.chat.checks import check_ask
from qwen_webui.comparison.run import fitted
from qwen_webui.comparison.values import Prompt, Wanted
from qwen_webui.errors import ContextLengthExceeded, InvalidRequest, WebUIError
from qwen_webui.models import ModelManager
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Ask, CheckpointSpec

MOST_CHECKPOINTS = 4
MOST_PROMPTS = 20


class Checker:
    """Knows the checkpoints and their contexts through the manager."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    async def check(self, wanted: Wanted) -> tuple[CheckpointSpec, ...]:
        """The checkpoints, in order. Raises NotFound, InvalidRequest, ContextLengthExceeded."""
        if not 1 <= len(wanted.checkpoints) <= MOST_CHECKPOINTS:
            raise InvalidRequest(
                f"{len(wanted.checkpoints)} checkpoints are to be compared; 1 to "
                f"{MOST_CHECKPOINTS} can be. Choose that many.",
                param="checkpoints",
            )
        _check_prompts(wanted)
        specs = tuple(self._manager.find(name) for name in wanted.checkpoints)
        names = [spec.name for spec in specs]
        if len(set(names)) < len(names):
            raise InvalidRequest(
                f"{', '.join(names)}: one is named twice. Name each checkpoint once.",
                param="checkpoints",
            )
        forecasts = {spec.name: need for spec, need in await self._manager.forecasts()}
        for spec in specs:
            need = forecasts.get(spec.name)
            context = need.context if need is not None else spec.shape.context_length
            await self._check_context(spec, context, wanted)
        return specs

    async def _check_context(self, spec: CheckpointSpec, context: int, wanted: Wanted) -> None:
        """Of a checkpoint that is not here yet the engine says it, once it is loaded."""
        info = self._manager.status().info
        try:
            if info is not None and info.checkpoint.name == spec.name:
                tokenizer, context = self._manager.tokenizer(), info.max_context
            elif spec.folder is not None:
                tokenizer = await asyncio.to_thread(ChatTokenizer.load, Path(spec.folder))
            else:
                tokenizer = self._manager.tokenizer()
        except WebUIError:
            return  # nothing counts here yet, or its files are at fault: then the column says so
        for number, prompt in enumerate(wanted.prompts):
            try:
                await asyncio.to_thread(fitted, tokenizer, prompt, context, wanted.sampling)
            except ContextLengthExceeded as error:
                raise ContextLengthExceeded(
                    f"{_named(number, prompt)} does not fit {spec.title}. {error.message}",
                    param="prompts",
                ) from error


def _check_prompts(wanted: Wanted) -> None:
    if not 1 <= len(wanted.prompts) <= MOST_PROMPTS:
        raise InvalidRequest(
            f"There are {len(wanted.prompts)} prompts; 1 to {MOST_PROMPTS} can be compared at "
            "once. Send that many.",
            param="prompts",
        )
    if wanted.sampling.constraint is not None or wanted.sampling.logprobs is not None:
        raise InvalidRequest(
            "Answers are compared as they come: without a constraint and without the "
            "probabilities of tokens. Leave these out.",
            param="sampling",
        )
    for number, prompt in enumerate(wanted.prompts):
        last = prompt.messages[-1] if prompt.messages else None
        if last is None or last.role != "user" or not last.content.strip():
            raise InvalidRequest(
                f"{_named(number, prompt)} does not end with something that the user says. End it "
                "with a message of the user.",
                param="prompts",
            )
        check_ask(Ask(messages=prompt.messages, sampling=wanted.sampling))


def _named(number: int, prompt: Prompt) -> str:
    title = f" ({prompt.title[:40]})" if prompt.title else ""
    return f"Prompt {number + 1}{title}"
