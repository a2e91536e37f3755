"""Requests to one OpenAI-compatible server, and to nothing else: no proxy, no redirect.

Knows HTTP and server-sent events; what is in them is body.py's and answer.py's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from qwen_webui.engines.openai.failures import GONE, UNREADABLE, of_error, read, refusal, translated
from qwen_webui.errors import EngineCrashed, GenerationFailed

CONNECT_SECONDS = 5.0
MAX_LINE = 64 << 20
MAX_ERROR = 1 << 20
_CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")


@dataclass(frozen=True)
class ServedModel:
    """An entry of GET /models. `context` in tokens, None where the server does not say it."""

    name: str
    owner: str
    context: int | None


class Connection:
    """One server at `url`; `stall_seconds` without a byte of an answer is too long."""

    def __init__(self, url: str, key: str | None, stall_seconds: float) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            headers=headers,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(stall_seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
        )

    @property
    def host(self) -> str:
        """Name and port, for people."""
        return httpx.URL(self._url).netloc.decode("ascii")

    async def models(self, seconds: float | None = None) -> tuple[ServedModel, ...]:
        """What the server has. Raises EngineCrashed, EngineTimeout, DeviceUnusable."""
        timeout = self._client.timeout if seconds is None else httpx.Timeout(seconds)
        with translated():
            response = await self._client.get(f"{self._url}/models", timeout=timeout)
        _refuse(response, response.content)
        with read():
            return tuple(_model(entry) for entry in response.json()["data"])

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The whole answer."""
        with translated():
            response = await self._client.post(f"{self._url}{path}", json=body)
        _refuse(response, response.content)
        with read():
            return response.json()

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The values of a streamed answer. Closing this closes the connection, which is how the
        server is told to stop. Raises EngineCrashed unless the stream ends with [DONE]."""
        async with self._streamed(path, body) as response:
            async for data in _data(response):
                if data == b"[DONE]":
                    return
                with read():
                    value = json.loads(data)
                    error = value.get("error")
                if error:
                    raise of_error(error if isinstance(error, dict) else {"message": error})
                yield value
        raise EngineCrashed(GONE)

    @asynccontextmanager
    async def _streamed(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        with translated():
            async with self._client.stream("POST", f"{self._url}{path}", json=body) as response:
                if not response.is_success:
                    _refuse(response, (await response.aread())[:MAX_ERROR])
                yield response

    async def close(self) -> None:
        """Hang up. Closing twice is harmless."""
        await self._client.aclose()


async def _data(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The `data:` lines. Split at line feeds only: JSON may hold other line ends as they are."""
    held = bytearray()
    async for part in response.aiter_bytes():
        held += part
        while (end := held.find(b"\n")) >= 0:
            line, held = bytes(held[:end]), held[end + 1 :]
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").strip()
        if len(held) > MAX_LINE:
            raise GenerationFailed(UNREADABLE)


def _refuse(response: httpx.Response, body: bytes) -> None:
    if not response.is_success:
        raise refusal(response.status_code, body, response.headers.get("retry-after"))


def _model(entry: Mapping[str, Any]) -> ServedModel:
    meta = entry.get("meta")
    places = [entry.get(name) for name in _CONTEXT_FIELDS]
    if isinstance(meta, dict):
        # llama-server: what it was started with, else what the model was trained with.
        places += [meta.get("n_ctx"), meta.get("n_ctx_train")]
    context = next((n for n in places if isinstance(n, int) and n > 0), None)
    return ServedModel(str(entry["id"]), str(entry.get("owned_by") or ""), context)
