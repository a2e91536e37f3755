"""A cancel that arrives together with what was waited for is not lost.

`asyncio.wait_for` loses it before Python 3.12: the answer then went on for a client long gone.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from qwen_webui.api.visit import Visit
from qwen_webui.engines.child import OpenCall
from qwen_webui.engines.wire import Event
from qwen_webui.types import TextDelta

# Turns of the loop between what arrives and the cancel; a lost one was lost in one of the first.
TICKS = range(6)


async def cancelled_after(task: asyncio.Task[Any], ticks: int) -> None:
    """Cancel `task`; it must end so unless it had ended before."""
    for _ in range(ticks):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("ticks", TICKS)
async def test_of_a_report_of_the_engine(ticks: int) -> None:
    """reliability lines 12 to 15"""
    child = cast(Any, SimpleNamespace(stall_seconds=60.0, heard=0.0))
    call = OpenCall(child, 1, cast(Any, None))
    task = asyncio.create_task(call.next(beats_count=False))
    await asyncio.sleep(0.01)
    call.reports.put_nowait(Event(1, TextDelta("a")))
    await cancelled_after(task, ticks)


@pytest.mark.parametrize("ticks", TICKS)
async def test_of_a_part_of_a_body(ticks: int) -> None:
    parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    visit = Visit(scope, parts.get, cast(Any, None))
    task = asyncio.create_task(cast(Any, visit.receive()))
    await asyncio.sleep(0.01)
    parts.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
    await cancelled_after(task, ticks)
