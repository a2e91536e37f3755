"""The openai client in front of a served API, with everything that comes back looked at."""

from __future__ import annotations

import json
from typing import Any

import httpx
from openai import AsyncOpenAI

from tests.api.conftest import Served
from tests.api.openai.strict import ChatCompletionChunk, Completion, strictly

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


def client_of(served: Served, **options: Any) -> AsyncOpenAI:
    """The official client, without the repetitions that would hide an error."""
    return AsyncOpenAI(
        api_key="none", base_url=f"http://127.0.0.1:{served.port}/v1", max_retries=0, **options
    )


async def post(served: Served, path: str, **body: Any) -> httpx.Response:
    """A body as it is, past the client's own checks."""
    return await served.client.post(f"/v1/{path}", json=body)


async def chat(served: Served, **fields: Any) -> httpx.Response:
    """A chat completion asked for by hand."""
    return await post(served, "chat/completions", **{"messages": HELLO} | fields)


def chunks_of(response: httpx.Response, kind: Any = ChatCompletionChunk) -> list[Any]:
    """Every chunk of a whole stream, each strictly of its kind; the end is looked at too."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]", lines[-1]
    assert all(line.startswith("data: ") for line in lines)
    return [strictly(kind, json.loads(line.removeprefix("data: "))) for line in lines[:-1]]


def texts_of(response: httpx.Response) -> list[Any]:
    """Every chunk of a stream of plain completions."""
    return chunks_of(response, Completion)
