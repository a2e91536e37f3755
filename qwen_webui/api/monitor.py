"""GET /metrics for Prometheus and GET /api/monitor for everybody else: the machine, now and lately.

What is measured and counted is measure/monitor/'s. Both are answered with a key only, where the
server has keys.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui.api.described import refusals
from qwen_webui.api.shapes import Out
from qwen_webui.api.wire import refuse_other_parameters
from qwen_webui.measure.monitor import CONTENT_TYPE, HOUR, Monitor, Series, metrics_text
from qwen_webui.services import Services

METRICS = """\
Counters, histograms and gauges in the text format of Prometheus (0.0.4). Have Prometheus send a key
of this server as a bearer token.
"""
MONITOR = """\
The latest sample, taken once a second, and on request the samples of the last hour; they are kept
in memory and lost at a restart.

`seconds` is how far back the history goes, `points` how many points it has at most: each is then
the mean of several samples, and of memory the fullest of them. What the device does not tell is
null.
"""


class SampleOut(Out):
    """One moment. Bytes, percent, watts, degrees Celsius, megahertz; `first_token` in seconds, of
    the answers that ended in this second. `rest` is what the program holds beside weights and
    KV cache, `others` what other programs hold."""

    time: float
    memory_used: float | None
    memory_total: float | None
    engine: float | None
    weights: float | None
    cache: float | None
    rest: float | None
    others: float | None
    tokens_per_second: float | None
    first_token: float | None
    running: float
    waiting: float
    utilisation: float | None
    memory_utilisation: float | None
    power: float | None
    temperature: float | None
    sm_clock: float | None
    memory_clock: float | None


class HistoryOut(Out):
    """Points `step` seconds apart, the oldest first; `columns` have a value for each of `times`."""

    step: float
    times: tuple[float, ...]
    columns: dict[str, tuple[float | None, ...]]


class MonitorOut(Out):
    """`device` is what is watched: cuda, the card, or cpu, the machine."""

    device: str
    device_name: str
    memory_warning: bool
    memory_warning_percent: float
    latest: SampleOut | None
    history: HistoryOut | None


def monitor_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Monitor"])
    monitor = services.monitor

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        description=METRICS,
        response_class=Response,
        responses=refusals() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(metrics_text(monitor), headers={"content-type": CONTENT_TYPE})

    @router.get(
        "/api/monitor",
        summary="Memory, speed, queue and device, now and in the last hour",
        description=MONITOR,
        responses=refusals(422),
    )
    async def now(
        request: Request,
        seconds: Annotated[int, Query(ge=0, le=HOUR)] = 0,
        points: Annotated[int, Query(ge=1, le=HOUR)] = HOUR,
    ) -> MonitorOut:
        refuse_other_parameters(request, ("seconds", "points"))
        latest = monitor.latest
        history = await _history(monitor, seconds, points) if seconds else None
        return MonitorOut(
            device=monitor.device,
            device_name=monitor.device_name,
            memory_warning=monitor.warning is not None,
            memory_warning_percent=monitor.threshold.percent,
            latest=SampleOut.model_validate(latest) if latest else None,
            history=HistoryOut.model_validate(history) if history else None,
        )

    return router


async def _history(monitor: Monitor, seconds: int, points: int) -> Series | None:
    if monitor.latest is None:
        return None
    step = max(1.0, seconds / points)
    # An hour of samples is more than the loop should wait for.
    return await asyncio.to_thread(monitor.history.series, monitor.latest.time - seconds, step)
