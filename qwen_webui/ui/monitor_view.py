"""What the Monitor tab asks for, and the warning that stands above every tab.

The warning is put in words once, when memory crosses the threshold: its figures are those of that
moment, so that it is read out once and not every second.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import gradio as gr
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qwen_webui.measure.monitor import HOUR, MemoryWarning
from qwen_webui.services import Services
from qwen_webui.ui import units
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts

MOST_POINTS = 360  # of a plot; more are not told apart
_UNSTORED = {"cache-control": "no-store"}


def build_monitor(i18n: gr.I18n) -> gr.Markdown:
    """The tab's place below the chat; its looks are one text, see monitor_frame.py."""
    return gr.Markdown(
        i18n("frame.monitor"), elem_id="qw-monitor", sanitize_html=False, latex_delimiters=[]
    )


def monitor_data_routes(services: Services) -> APIRouter:
    """The points of the plots."""
    router = APIRouter(prefix="/ui", include_in_schema=False)
    monitor = services.monitor

    @router.get("/monitor")
    async def points(request: Request) -> Response:
        query = request.query_params
        seconds = min(HOUR, max(1.0, _number(query.get("seconds"), HOUR)))
        step = max(1.0, seconds / MOST_POINTS)
        latest = monitor.latest
        now = latest.time if latest else 0.0
        # From a whole step on, so that a point is the same whenever it is asked for.
        since = max(now - seconds, _number(query.get("since"), 0.0)) // step * step
        series = await asyncio.to_thread(monitor.history.series, since, step)
        told = {
            "device": monitor.device,
            "device_name": monitor.device_name,
            "now": now,
            "seconds": seconds,
            "latest": asdict(latest) if latest else None,
            **asdict(series),
        }
        return JSONResponse(told, headers=_UNSTORED)

    return router


def _number(text: str | None, otherwise: float) -> float:
    """What a script of ours sends; anything else counts as not sent."""
    try:
        value = float(text or otherwise)
    except ValueError:
        return otherwise
    return value if 0 <= value < 1e12 else otherwise


def warning_html(services: Services, t: Texts, *, admin: bool) -> str:
    """What is to stand above every tab; empty while there is memory enough. Only an `admin`, who
    may act on it, is told which other program runs here."""
    warning = services.monitor.warning
    if warning is None or not warning.sample.memory_used or not warning.sample.memory_total:
        return ""
    sample = warning.sample
    card = services.monitor.device == "cuda"
    lead = t(
        "monitor.warning_card" if card else "monitor.warning_machine",
        used=units.size(int(sample.memory_used or 0)),
        total=units.size(int(sample.memory_total or 0)),
        percent=f"{100 * (sample.memory_used or 0) / (sample.memory_total or 1):.0f}",
    )
    parts = ", ".join(
        f"{t(f'monitor.{part}')} {units.size(int(value))}"
        for part in ("weights", "cache", "rest", "others")
        if (value := getattr(sample, part)) is not None
    )
    steps = "".join(f"<li>{step}</li>" for step in _steps(services, warning, t, admin=admin))
    return (
        f'<div data-began="{sample.time}"><p><b>{escape(lead)}</b> {escape(parts)}.</p>'
        f"<p>{escape(t('monitor.warning_do'))}</p><ul>{steps}</ul>"
        '<button type="button" class="qw-icon qw-icon-close" data-do="warning-close" '
        f'title="{escape(t("page.close"))}" aria-label="{escape(t("page.close"))}"></button></div>'
    )


def _steps(services: Services, warning: MemoryWarning, t: Texts, *, admin: bool) -> list[str]:
    """What helps, the first the quickest."""
    info = services.manager.status().info
    steps = []
    if admin:
        button = (
            '<button type="button" class="qw-small-button" data-do="models" '
            f'aria-haspopup="dialog">{escape(t("monitor.choose_model"))}</button>'
        )
        steps.append(f"{escape(t('monitor.smaller'))} {button}")
    if info is not None:
        context = units.count(info.max_context)
        steps.append(escape(t("monitor.shorter", context=context)))
    if (running := services.manager.at_once) > 1:
        steps.append(escape(t("monitor.fewer", running=running)))
    biggest = warning.biggest
    if admin and biggest is not None:
        size = units.size(biggest.memory)
        steps.append(escape(t("monitor.close_biggest", name=biggest.name, size=size)))
    else:
        steps.append(escape(t("monitor.close_others")))
    return steps
