"""Which checkpoints are compared: a box for each, with what it would take here.

Made anew each time it is asked for, from the manager's forecasts. Only text; nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_webui.types import PRECISIONS
from qwen_webui.ui import units
from qwen_webui.ui.markup import escape
from qwen_webui.ui.model_row import Row, View, display_name
from qwen_webui.ui.texts import Texts


def choice_html(view: View) -> str:
    """The boxes: the loaded model's precisions in view, the others folded away."""
    t = view.t
    near, far = _parted(view)
    chosen = set(first_chosen(view))
    inner = _boxes(near, view, chosen)
    if far:
        inner += (
            f"<details><summary>{escape(t('compare.other_models', count=len(far)))}</summary>"
            f"{_boxes(far, view, chosen)}</details>"
        )
    return f"<fieldset><legend>{escape(t('compare.checkpoints'))}</legend>{inner}</fieldset>"


def first_chosen(view: View) -> tuple[str, ...]:
    """What is chosen before anybody has: precisions of one model that are here and fit."""
    near, _ = _parted(view)
    return tuple(spec.name for spec, need in near if spec.folder and need.fits)[:4]


def _parted(view: View) -> tuple[list[Row], list[Row]]:
    """The rows of the loaded model's family and size, unquantised first, and all others."""
    rows = list(view.rows)
    if not rows:
        return [], []
    here = next((spec for spec, _ in rows if spec.name == view.present), None)
    here = here or next((spec for spec, _ in rows if spec.folder), rows[0][0])
    key = (here.family, here.size)
    near = [row for row in rows if (row[0].family, row[0].size) == key]
    near.sort(key=lambda row: PRECISIONS.index(row[0].precision))
    return near, [row for row in rows if row not in near]


def _boxes(rows: Sequence[Row], view: View, chosen: set[str]) -> str:
    boxes = "".join(_box(row, view, row[0].name in chosen) for row in rows)
    return f'<ul class="qw-compare-boxes">{boxes}</ul>'


def _box(row: Row, view: View, checked: bool) -> str:
    spec, need = row
    t = view.t
    barred = not need.fits or (view.offline and not spec.folder)
    marks = [_memory(row, t)]
    if not spec.folder:
        key = "compare.offline" if view.offline else "compare.would_download"
        marks.append(t(key, size=units.size(spec.weights_bytes)))
    elif spec.name == view.present:
        marks.append(t("model.loaded"))
    state = (" checked" if checked else "") + (" disabled" if barred else "")
    return (
        f'<li><label><input type="checkbox" name="checkpoint" value="{escape(spec.name)}"{state}>'
        f"<span><b>{escape(display_name(spec, t))}</b>"
        f"<small>{escape(' · '.join(marks))}</small></span></label></li>"
    )


def _memory(row: Row, t: Texts) -> str:
    _, need = row
    key = "compare.fits" if need.fits else "compare.too_large"
    return t(key, needed=units.size(need.needed), free=units.size(need.free))
