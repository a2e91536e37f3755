"""`qwen-webui chat TEXT`: one question answered on the command line, here or by a server.

Streams the answer to `out` as it comes; everything else goes to `err`, so the output can be piped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass
from typing import Any, TextIO

import httpx

from qwen_webui.errors import NotFound, Unauthorized, Unavailable, WebUIError
from qwen_webui.services import close_services, open_services, start_first_load
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


def _share(progress: Progress | None) -> str:
    """How far a download is, in whole percent: a line a percent is enough."""
    if progress is None or progress.unit != "bytes" or not progress.total:
        return ""
    return f": {100 * progress.done // progress.total} % of {progress.total / 2**20:.0f} MiB"


def ask_server(url: str, question: Question, out: TextIO, *, key: str | None = None) -> int:
    """Ask the server at `url` through POST /api/generate with streaming."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {k: v for k, v in dataclasses.asdict(question).items() if v is not None}
    body["prompt"] = body.pop("text")
    body["stream"] = True
    try:
        # No read timeout: a first token may wait for a download or a long line.
        with (
            httpx.Client(timeout=httpx.Timeout(10.0, read=None), headers=headers) as client,
            client.stream("POST", url.rstrip("/") + "/api/generate", json=body) as response,
        ):
            if response.status_code == Unauthorized.status:
                raise Unauthorized(
                    f"The server at {url} asks for {'another' if key else 'a'} key; give it with "
                    "--api-key or in QWEN_WEBUI_API_KEY."
                )
            if response.status_code != 200:
                raise _as_error(json.loads(response.read()), response.status_code)
            for line in response.iter_lines():
                if line.startswith("data: "):
                    _show(json.loads(line[len("data: ") :]), out)
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise NotFound(
            f"No qwen-webui server answered at {url} ({type(error).__name__}); start one with "
            "`python app.py` or give its address with --url."
        ) from error
    print(file=out)
    return 0


def _show(event: dict[str, Any], out: TextIO) -> None:
    if "error" in event:
        raise _as_error(event, 500)
    if "usage" not in event:
        print(event.get("text", ""), end="", file=out, flush=True)


def _as_error(body: dict[str, Any], status: int) -> WebUIError:
    detail = body.get("error") or {}
    return WebUIError(
        str(detail.get("message", f"The server answered with status {status}.")),
        code=detail.get("code"),
    )
