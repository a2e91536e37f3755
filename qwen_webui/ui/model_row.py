"""One model of the list on the page: its name, what it takes, the button that loads it.

Shared by the table, the advisor and the suggestion. Only text; loading is model_bar's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwen_webui.types import CheckpointSpec, MemoryForecast, ModelStatus
from qwen_webui.ui import units
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts

Row = tuple[CheckpointSpec, MemoryForecast]


def display_name(spec: CheckpointSpec, t: Texts) -> str:
    """A checkpoint as people call it, with its precision."""
    name = spec.title
    if spec.family == "demo":
        name = t("model.demo")
    elif spec.family == "qwen2.5":
        name = f"Qwen2.5-{spec.size}-Instruct"
    return t("model.named", name=name, precision=t(f"model.precision_{spec.precision}"))


@dataclass(frozen=True)
class View:
    """What every line of the list needs to know."""

    rows: Sequence[Row]
    status: ModelStatus
    offline: bool
    t: Texts
    admin: bool = True

    @property
    def present(self) -> str:
        """The name that is loaded now."""
        return (self.status.name or "") if self.status.state == "ready" else ""

    def chosen(self) -> str:
        """What is marked when the list opens."""
        names = [spec.name for spec, _ in self.rows]
        return self.present if self.present in names else (names[0] if names else "")


def costs(row: Row, t: Texts) -> str:
    """Download and memory, as HTML."""
    spec, forecast = row
    return (
        f"{escape(t('model.download'))}: {escape(download_size(spec, t))} · "
        f"{escape(t('model.needs'))}: {units.size(forecast.needed)}"
    )


def forecast_bar(need: MemoryForecast) -> str:
    """What is needed of what is free, drawn."""
    whole = max(need.needed, need.free, 1)
    share, room = round(100 * need.needed / whole), round(100 * need.free / whole)
    look = "qw-low" if need.fits else "qw-full"
    return (
        f'<span class="qw-gauge qw-forecast {look}" aria-hidden="true">'
        f'<i class="qw-others" style="width:{room}%"></i><i style="width:{share}%"></i></span>'
    )


def load_button(row: Row, view: View, *, strong: bool = False) -> str:
    """Loads the row; says why not where it cannot."""
    spec, need = row
    key = "model.load" if spec.folder else "model.load_download"
    barred = ""
    if spec.name == view.present:
        key, barred = "model.load_present", " disabled"
    elif not need.fits:
        key, barred = "model.load_refused", " disabled"
    elif not view.admin or (view.offline and not spec.folder):
        barred = " disabled"
    look = "qw-primary" if not strong else "qw-primary qw-strong"
    return (
        f'<button type="button" class="{look}" data-load="{escape(spec.name)}"{barred}>'
        f"{escape(view.t(key))}</button>"
    )


def download_size(spec: CheckpointSpec, t: Texts) -> str:
    """How much would be fetched."""
    return t("model.no_download") if spec.folder else units.size(spec.weights_bytes)
