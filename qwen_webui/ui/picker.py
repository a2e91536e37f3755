"""The list of models: a table of sizes and precisions, with what each would take here.

Made anew each time it is opened, from the manager's forecasts. Only text; loading is model_bar's.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_webui.checkpoints import licence_notice
from qwen_webui.errors import WebUIError
from qwen_webui.services import Services
from qwen_webui.types import PRECISIONS
from qwen_webui.ui import units
from qwen_webui.ui.advisor import advisor_html
from qwen_webui.ui.markup import escape
from qwen_webui.ui.model_row import (
    Row,
    View,
    display_name,
    download_size,
    forecast_bar,
    load_button,
)
from qwen_webui.ui.texts import Texts


async def picker_html(services: Services, t: Texts, *, admin: bool = True) -> str:
    """The inside of the dialog; only for an `admin` do its buttons load."""
    rows = await services.manager.forecasts()
    view = View(rows, services.manager.status(), services.settings.offline, t, admin)
    barred = "" if admin else f'<p class="qw-note">{escape(t("errors.admin_key_required"))}</p>'
    return (
        f'<div class="qw-models"><p class="qw-lead">{escape(t("model.picker_lead"))} '
        f"{_free(rows, view)}</p>{barred}{await advisor_html(services, view)}"
        f'<form><div class="qw-scroll">{_table(view)}{_others(view)}</div>'
        f"{''.join(_detail(row, view) for row in rows)}</form></div>"
    )


def _free(rows: Sequence[Row], view: View) -> str:
    if not rows:
        return escape(view.t("model.forecast_unknown"))
    need = rows[0][1]
    device = "GPU" if need.device == "cuda" else "CPU"
    return escape(view.t("model.free_now", free=units.size(need.free), device=device))


def _table(view: View) -> str:
    """Sizes down, precisions across; each cell is a choice."""
    t = view.t
    head = "".join(f'<th scope="col">{escape(t(f"model.precision_{p}"))}</th>' for p in PRECISIONS)
    lines = []
    for family, size in dict.fromkeys((s.family, s.size) for s, _ in view.rows):
        if family not in ("demo", "qwen2.5"):
            continue
        cells = {s.precision: (s, f) for s, f in view.rows if (s.family, s.size) == (family, size)}
        name = t("model.demo") if family == "demo" else f"Qwen2.5 {size}"
        inner = "".join(
            f"<td>{_cell(cells[p], name, view) if p in cells else ''}</td>" for p in PRECISIONS
        )
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{inner}</tr>')
    return (
        f'<table><thead><tr><th scope="col">{escape(t("model.size"))}</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _others(view: View) -> str:
    """Folders of the user's own and attached servers, a line each."""
    rows = [row for row in view.rows if row[0].family not in ("demo", "qwen2.5")]
    if not rows:
        return ""
    cells = "".join(f"<li>{_cell(row, row[0].title, view, named=True)}</li>" for row in rows)
    return f'<h3>{escape(view.t("model.other"))}</h3><ul class="qw-others-list">{cells}</ul>'


def _cell(row: Row, name: str, view: View, *, named: bool = False) -> str:
    spec, need = row
    t = view.t
    verdict = t("model.fits") if need.fits else t("model.tight")
    marks = []
    if spec.name == view.present:
        marks.append(("qw-is-loaded", t("model.loaded")))
    elif spec.folder:
        marks.append(("qw-on-disk", t("model.on_disk")))
    label = t(
        "model.cell",
        size=name,
        precision=t(f"model.precision_{spec.precision}"),
        needed=units.size(need.needed),
        verdict=", ".join([verdict, *(text for _, text in marks)]),
    )
    look = " ".join(["qw-fits" if need.fits else "qw-tight", *(name for name, _ in marks)])
    checked = " checked" if spec.name == view.chosen() else ""
    shown = f"{escape(name)} " if named else ""
    return (
        f'<label class="{look}" title="{escape(label)}"><input type="radio" name="model" '
        f'value="{escape(spec.name)}" aria-label="{escape(label)}"{checked}>'
        f"<span>{shown}{units.size(need.needed)}</span></label>"
    )


def _detail(row: Row, view: View) -> str:
    """What the chosen model is and takes, and the button that loads it."""
    spec, need = row
    t = view.t
    rest = units.size(need.activations + need.overhead)
    forecast = t(
        "model.forecast",
        needed=units.size(need.needed),
        free=units.size(need.free),
        weights=units.size(need.weights),
        kv=units.size(need.kv_cache),
        context=units.count(need.context),
        rest=rest,
    )
    facts = [
        (t("model.download"), download_size(spec, t)),
        (t("model.needs"), forecast),
        (t("model.licence"), spec.licence),
    ]
    info = view.status.info
    if spec.name == view.present and info is not None:
        how = f"{info.device_name}, {info.dtype}, {info.kernel}"
        facts.append((t("model.details"), how))
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    hidden = "" if spec.name == view.chosen() else " hidden"
    return (
        f'<section class="qw-detail" data-for="{escape(spec.name)}"{hidden}><div>'
        f"<h3>{escape(display_name(spec, t))}</h3>{forecast_bar(need)}<dl>{inner}</dl>"
        f"{_notices(row, view)}</div>"
        f"{load_button(row, view)}</section>"
    )


def _notices(row: Row, view: View) -> str:
    spec, need = row
    t, texts = view.t, []
    if spec.family == "demo":
        texts.append(t("model.demo_note"))
    notice = licence_notice(spec)
    if notice is not None:
        own = t("model.licence_notice", licence=spec.licence)
        texts.append(notice if t.language == "en" else f"{own} {notice}")
    if not need.fits:
        sizes = {"needed": units.size(need.needed), "free": units.size(need.free)}
        texts.append(t("model.does_not_fit", **sizes))
    if view.offline and not spec.folder:
        texts.append(t("model.offline"))
    return "".join(f'<p class="qw-note">{escape(text)}</p>' for text in texts)


async def picker_or_reason(services: Services, t: Texts, *, admin: bool) -> str:
    """The list, or the sentence that says why there is none."""
    try:
        return await picker_html(services, t, admin=admin)
    except WebUIError as error:
        return f'<p class="qw-note" lang="en">{escape(error.message)}</p>'
