"""`qwen-webui chat TEXT`: one question answered on the command line, here or by a server.

Streams the answer to `out` as it comes; everything else goes to `err`, so the output can be piped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import httpx

from qwen_webui.errors import NotFound, Unauthorized, Unavailable, WebUIError
from qwen_webui.services import Services, close_services, open_services, start_first_load
from qwen_webui.settings import Settings
from qwen_webui.types import ChatTurn, LeftOut, Progress, Sampling, TextDelta


@dataclass(frozen=True)
class Question:
    """What was asked on the command line; None means the checkpoint's or the server's default."""

    text: str
    system: str | None = None
    persona: str | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None


async def ask_here(settings: Settings, question: Question, out: TextIO, err: TextIO) -> int:
    """Load the checkpoint the settings name, answer, and end. Returns the exit code."""
    services = await open_services(settings)
    try:
        start_first_load(services)
        await until_ready(services, err)
        sampling = Sampling(
            max_new_tokens=question.max_new_tokens,
            temperature=question.temperature,
            seed=question.seed,
        )
        turn = ChatTurn(
            text=question.text,
            persona=question.persona,
            system=question.system,
            sampling=sampling,
        )
        async with contextlib.aclosing(services.assistant.answer(turn)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(event.text, end="", file=out, flush=True)
                elif isinstance(event, LeftOut):
                    print(f"{event.turns} earlier turns did not fit.", file=err)
        print(file=out)
        return 0
    finally:
        await close_services(services)


async def until_ready(services: Services, err: TextIO) -> None:
    """Wait for the first load, telling how far it is. Raises Unavailable when it fails."""
    status, told = services.manager.status(), ""
    while status.state != "ready":
        if status.state in ("failed", "empty"):
            raise Unavailable(status.error or "No checkpoint could be loaded.")
        line = f"{status.state} {status.target}{_share(status.progress)}"
        if line != told:
            print(line, file=err, flush=True)
        told = line
        status = await services.manager.changed(status)
    for note in status.notes:
        print(note, file=err)


def _share(progress: Progress | None) -> str:
    """How far a download is, in whole percent: a line a percent is enough."""
    if progress is None or progress.unit != "bytes" or not progress.total:
        return ""
    return f": {100 * progress.done // progress.total} % of {progress.total / 2**20:.0f} MiB"


def ask_server(url: str, question: Question, out: TextIO, *, key: str | None = None) -> int:
    """Ask the server at `url` through POST /api/generate with streaming."""
    body = {k: v for k, v in dataclasses.asdict(question).items() if v is not None}
    body["prompt"] = body.pop("text")
    body["stream"] = True
    with (
        reaching(url, key) as client,
        client.stream("POST", "/api/generate", json=body) as response,
    ):
        check_status(response)
        for line in response.iter_lines():
            if line.startswith("data: "):
                _show(json.loads(line[len("data: ") :]), out)
    print(file=out)
    return 0


@contextlib.contextmanager
def reaching(url: str, key: str | None) -> Iterator[httpx.Client]:
    """A client of the server at `url`. Raises NotFound when none answers there, and Unauthorized
    when `check_status` found that it asks for a key."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        # No read timeout: a first token may wait for a download or a long line.
        timeout = httpx.Timeout(10.0, read=None, write=None)
        with httpx.Client(base_url=url.rstrip("/"), timeout=timeout, headers=headers) as client:
            yield client
    except Unauthorized as error:
        raise Unauthorized(
            f"The server at {url} asks for {'another' if key else 'a'} key; give it with "
            "--api-key or in QWEN_WEBUI_API_KEY."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise NotFound(
            f"No qwen-webui server answered at {url} ({type(error).__name__}); start one with "
            "`python app.py` or give its address with --url."
        ) from error


def check_status(response: httpx.Response) -> None:
    """Raise what the server refused the request with, if it did."""
    if response.status_code == Unauthorized.status:
        raise Unauthorized("The server asks for a key.")
    if not response.is_success:
        raise error_of(json.loads(response.read()), response.status_code)


def _show(event: dict[str, Any], out: TextIO) -> None:
    if "error" in event:
        raise error_of(event, 500)
    if "usage" not in event:
        print(event.get("text", ""), end="", file=out, flush=True)


def error_of(body: dict[str, Any], status: int) -> WebUIError:
    """The error that a server's answer is of."""
    detail = body.get("error") or {}
    return WebUIError(
        str(detail.get("message", f"The server answered with status {status}.")),
        code=detail.get("code"),
    )
