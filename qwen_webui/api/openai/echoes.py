"""Prompts given back, with the log-probability of their tokens if that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from qwen_webui.api.openai.models import Served, make_ready
from qwen_webui.errors import ModelSwitching
from qwen_webui.services import Services
from qwen_webui.tokens import ChatTokenizer

Prompt = str | tuple[int, ...]


@dataclass(frozen=True)
class Echo:
    """`logprobs` has one for every token after the first, or is None when it was not asked for."""

    text: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...] | None


async def echoes(
    services: Services,
    request: Request,
    prompts: Sequence[Prompt],
    model: str | None,
    *,
    score: bool,
) -> tuple[Served, list[Echo]]:
    """Every prompt as the checkpoint `model` reads it, and who read it. Holds one place in the
    line for all. Raises what a lease and Engine.score raise, and ModelSwitching."""
    wanted = await make_ready(services, request, model)
    async with services.manager.lease() as engine:
        if wanted not in (None, engine.checkpoint.name):
            raise ModelSwitching(
                "The model was swapped for another while the request waited. Send it once more.",
                retry_after=1,
            )
        tokenizer = services.manager.tokenizer()
        found: list[Echo] = []
        for prompt in prompts:
            # Counting takes up to seconds: off the loop.
            ids = await asyncio.to_thread(tokenizer.encode_prompt, prompt)
            logprobs = tuple(await engine.score(ids)) if score else None
            tokens = tuple(map(tokenizer.token_text, ids))
            found.append(Echo(_text(prompt, ids, tokenizer), tokens, logprobs))
        return Served.of(engine.info, tokenizer), found


def _text(prompt: Prompt, ids: Sequence[int], tokenizer: ChatTokenizer) -> str:
    if isinstance(prompt, str):
        return prompt
    # Control tokens, which add no bytes to an answer, are shown by name.
    parts = (tokenizer.token_bytes(token) or tokenizer.token_text(token).encode() for token in ids)
    return b"".join(parts).decode("utf-8", "replace")
