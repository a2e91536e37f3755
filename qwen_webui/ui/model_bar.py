"""The model in the top bar: which one, what it is doing, and the memory it takes.

The page asks for this every few seconds (faster while a load is under way), so it is a small
answer made without the queue. Loads and cancels come through the two handlers.
"""

from __future__ import annotations

import dataclasses
import hashlib

import gradio as gr

from qwen_webui.errors import Forbidden
from qwen_webui.services import Services
from qwen_webui.types import MemoryUse, ModelStatus
from qwen_webui.ui import units
from qwen_webui.ui.advisor import suggestion_html
from qwen_webui.ui.answering import ON_THE_WAY
from qwen_webui.ui.desk import Desk, Frame, noticed
from qwen_webui.ui.form import Role
from qwen_webui.ui.markup import escape
from qwen_webui.ui.messages import percent
from qwen_webui.ui.model_row import display_name
from qwen_webui.ui.monitor_view import warning_html
from qwen_webui.ui.parts import ModelParts, hidden_event
from qwen_webui.ui.sampling_panel import moved_frame
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.visitor import is_admin


@dataclasses.dataclass(frozen=True)
class Bar:
    """What the browser shows and how soon it asks again. `model` changes when answers will come
    from another checkpoint; `warning` is that memory runs out, empty while it does not."""

    html: str
    model: str
    busy: bool
    warning: str = ""


def build_model() -> ModelParts:
    """The hidden events of the bar."""
    return ModelParts(
        load=hidden_event("load"), cancel=hidden_event("cancel"), refresh=hidden_event("refresh")
    )


class ModelHandlers:
    """Each method is the handler of one event."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def load(self, name: str, request: gr.Request) -> None:
        """Begin to load what was chosen; its progress is shown by the bar."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            _require_admin(request)
            self._desk.services.manager.start_load(str(name), wait_turn=False)

    async def cancel(self, request: gr.Request) -> None:
        """Give up the load under way."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            _require_admin(request)
            await self._desk.services.manager.cancel_load()

    async def refresh(
        self,
        conversation: str,
        persona: str,
        system: str,
        base: str,
        request: gr.Request,
        *sliders: float,
    ) -> Frame:
        """Another model answers from now on: its defaults, its way of counting."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            role = Role.read(self._desk.services.personas, persona, system)
            said = await self._desk.said(visit, conversation)
            meter = await self._desk.meter_frame(visit, role, said)
        return {**meter, **moved_frame(self._desk, visit, role, base, sliders)}


def _require_admin(request: gr.Request) -> None:
    """The buttons are not there for others; whoever calls the handler all the same ends here."""
    if not is_admin(request):
        raise Forbidden("Loading models needs an admin key.", code="admin_key_required")


async def read_bar(services: Services, t: Texts, *, admin: bool) -> Bar:
    """The bar as it is now; with what loads and cancels for an `admin` only."""
    status = services.manager.status()
    memory = await services.manager.memory()
    info = status.info
    model = f"{info.checkpoint.name}/{info.max_context}" if info and status.state == "ready" else ""
    html = bar_html(status, memory, t, admin=admin)
    if admin and info is not None and info.checkpoint.family == "demo" and status.state == "ready":
        html += await suggestion_html(services, t)
    warning = warning_html(services, t, admin=admin)
    return Bar(html, model, status.state in ON_THE_WAY, warning)


def version(bar: Bar) -> str:
    """Changes when anything in the bar does."""
    return hashlib.sha256(repr(bar).encode()).hexdigest()[:16]


def bar_html(status: ModelStatus, memory: MemoryUse, t: Texts, *, admin: bool = True) -> str:
    """The chip that opens the list of models, the progress with its Cancel, the memory."""
    name = status.target or status.name or ""
    if status.state == "ready" and status.info is not None:
        name = display_name(status.info.checkpoint, t)
    state = t(f"model.state_{status.state}")
    chip = (
        f'<button type="button" class="qw-chip qw-{status.state}" data-do="models" '
        f'aria-haspopup="dialog" title="{escape(_details(status, t))}">'
        f'<i aria-hidden="true"></i><b>{escape(name or t("model.choose"))}</b>'
        + f'<span class="qw-state">{escape(state)}</span></button>'
    )
    # A comparison is cancelled in its tab, by whoever began it.
    way = _held(status, t) if status.held_for else _progress(status, t, admin=admin)
    return chip + way + _failure(status) + _memory(memory, t)


def _held(status: ModelStatus, t: Texts) -> str:
    """For which job everybody waits; nothing of what it does."""
    title = escape(t("model.held_title"))
    return f'<span class="qw-held" title="{title}">{escape(t("model.held"))}</span>'


def _progress(status: ModelStatus, t: Texts, *, admin: bool) -> str:
    if status.state not in ON_THE_WAY:
        return ""
    progress = status.progress
    if progress is not None and progress.total:
        done = units.amount(progress.done, progress.unit)
        total = units.amount(progress.total, progress.unit)
        text, value = t("model.progress_of", done=done, total=total), percent(progress)
        bar = f'<progress max="100" value="{value}" aria-label="{escape(text)}"></progress>'
    else:
        text, bar = (
            "",
            f'<progress aria-label="{escape(t(f"model.state_{status.state}"))}"></progress>',
        )
    cancel = (
        f'<button type="button" class="qw-cancel" data-do="cancel" '
        f'aria-label="{escape(t("model.cancel_load"))}">{escape(t("model.cancel"))}</button>'
    )
    return (
        f'<span class="qw-progress">{bar}<span class="qw-bytes">{escape(text)}</span>'
        f"{cancel if admin else ''}</span>"
    )


def _failure(status: ModelStatus) -> str:
    """The reason of a failed load; also after a swap whose old model came back."""
    if not status.error:
        return ""
    return f'<span class="qw-failure" role="alert" lang="en">{escape(status.error)}</span>'


def _memory(memory: MemoryUse, t: Texts) -> str:
    used, total = units.size(memory.used_by_engine), units.size(memory.total)
    title = t(
        "model.memory_title",
        device=memory.device_name,
        used=used,
        free=units.size(memory.free),
        total=total,
    )
    taken = round(100 * (memory.total - memory.free) / memory.total) if memory.total else 0
    own = max(1, round(100 * memory.used_by_engine / memory.total)) if memory.total else 0
    return (
        f'<span class="qw-memory" title="{escape(title)}"><span>{escape(t("model.memory"))}</span>'
        f'<span class="qw-gauge" aria-hidden="true">'
        f'<i class="qw-others" style="width:{taken}%"></i><i style="width:{own}%"></i></span>'
        f"<span>{escape(t('model.memory_of', used=used, total=total))}</span></span>"
    )


def _details(status: ModelStatus, t: Texts) -> str:
    """What only some want to know: device, number format, kernel, context, the last swap."""
    lines = (
        []
        if status.info is None
        else [
            f"{t('model.device')}: {status.info.device_name}",
            f"{t('model.number_format')}: {status.info.dtype}",
            f"{t('model.kernel')}: {status.info.kernel}",
            f"{t('model.context')}: "
            f"{t('model.tokens', count=units.count(status.info.max_context))}",
        ]
    )
    swap = status.last_swap
    if swap is not None:
        sizes = {"loaded": units.size(swap.loaded), "seconds": f"{swap.seconds:.1f}"}
        if swap.previous:
            freed = units.size(swap.freed)
            text = t("model.swap_report", previous=swap.previous, freed=freed, **sizes)
        else:
            text = t("model.first_load", **sizes)
        lines.append(f"{t('model.last_swap')}: {text}")
    if status.running or status.waiting:
        lines.append(t("model.busy", running=status.running, waiting=status.waiting))
    return "\n".join([*lines, *status.notes])
