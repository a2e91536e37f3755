"""Gradio's events over plain HTTP, as the page's scripts send them and as a forger would.

Only sends and reads; what must come back is up to the tests.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx

JSON = {"content-type": "application/json"}
JOIN = "/gradio_api/queue/join"


def handlers(client: httpx.Client) -> dict[int, int]:
    """Every event's number, and how many inputs it takes."""
    config = client.get("/config").json()
    return {d["id"]: len(d["inputs"]) for d in config["dependencies"] if d["backend_fn"]}


def handler(client: httpx.Client, element: str, event: str) -> int:
    """The number of what `event` of the component with the id `element` starts."""
    config = client.get("/config").json()
    box = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == element)
    for dependency in config["dependencies"]:
        if [box, event] in [list(target) for target in dependency["targets"]]:
            return int(dependency["id"])
    raise AssertionError(f"{event} of {element} starts nothing")


def join(
    client: httpx.Client, number: int, data: list[Any], session: str, path: str = JOIN
) -> httpx.Response:
    """Send an event."""
    body = {"data": data, "fn_index": number, "session_hash": session}
    return client.post(path, content=json.dumps(body).encode(), headers=JSON)


def at_once(client: httpx.Client, number: int, data: list[Any], session: str) -> httpx.Response:
    """Send an event that does not stand in Gradio's line, as Stop is sent."""
    return join(client, number, data, session, "/gradio_api/run/predict")


def told(client: httpx.Client, session: str) -> Iterator[dict[str, Any]]:
    """What a tab hears until its last event has ended."""
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as lines:
        left = ""
        # Not iter_lines, which ends lines where no browser does.
        for part in lines.iter_text():
            *whole, left = (left + part).split("\n\n")
            for line in whole:
                message: dict[str, Any] = json.loads(line.removeprefix("data: "))
                yield message
                if message["msg"] in ("close_stream", "unexpected_error"):
                    return


def run(client: httpx.Client, number: int, data: list[Any]) -> dict[str, Any]:
    """Send an event from a tab of its own; how it ended."""
    session = secrets.token_hex(16)
    answer = join(client, number, data, session)
    assert answer.status_code == 200, answer.text
    return next(m for m in told(client, session) if m["msg"] == "process_completed")
