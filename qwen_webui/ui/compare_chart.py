"""Speed, memory and fidelity of the columns as bars: a table, whose cells are drawn.

Who listens hears a table; who looks sees bars. The lengths are shares of the longest of a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qwen_webui.comparison.values import Column
from qwen_webui.measure.fidelity.report import FidelityRow
from qwen_webui.ui import units
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts

FIDELITY_COMMAND = "python app.py fidelity"


@dataclass(frozen=True)
class Bar:
    """A figure, and how it is written; no `value` where nothing was measured."""

    value: float | None
    text: str = "–"


def chart_html(columns: Sequence[Column], fidelity: Mapping[str, FidelityRow], t: Texts) -> str:
    """Empty until something was measured."""
    if not any(column.tokens_per_second or column.peak_bytes for column in columns):
        return ""
    figures: list[tuple[str, Callable[[Column], Bar]]] = [
        (t("compare.speed"), _speed),
        (t("compare.peak"), _memory),
    ]
    measured = {name: row for name, row in fidelity.items() if row.kl or row.is_reference}
    present = [column for column in columns if column.checkpoint in measured]
    if present:
        figures.append((t("compare.kl"), lambda column: _kl(column, measured, t)))
    longest = [max((read(c).value or 0.0 for c in columns), default=0.0) for _, read in figures]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in figures)
    lines = "".join(
        f'<tr><th scope="row">{escape(column.title)}</th>'
        + "".join(
            _cell(name, read(column), most)
            for (name, read), most in zip(figures, longest, strict=True)
        )
        + "</tr>"
        for column in columns
    )
    key = "compare.kl_note" if present else "compare.kl_missing"
    note = escape(t(key, command="\0")).replace("\0", f"<code>{FIDELITY_COMMAND}</code>")
    return (
        f'<table class="qw-bars"><caption>{escape(t("compare.chart"))}</caption>'
        f'<thead><tr><th scope="col">{escape(t("compare.checkpoint"))}</th>{head}</tr></thead>'
        f'<tbody>{lines}</tbody></table><p class="qw-quiet">{note}</p>'
    )


def _cell(name: str, bar: Bar, longest: float) -> str:
    share = 100 * bar.value / longest if bar.value and longest else 0.0
    drawn = f'<i aria-hidden="true"><i style="width:{share:.1f}%"></i></i>'
    return f'<td data-name="{escape(name)}"><span>{escape(bar.text)}</span>{drawn}</td>'


def _speed(column: Column) -> Bar:
    speed = column.tokens_per_second
    return Bar(None) if speed is None else Bar(speed, f"{speed:.1f}")


def _memory(column: Column) -> Bar:
    peak = column.peak_bytes
    return Bar(None) if peak is None else Bar(float(peak), units.size(peak))


def _kl(column: Column, rows: Mapping[str, FidelityRow], t: Texts) -> Bar:
    row = rows.get(column.checkpoint)
    if row is None:
        return Bar(None)
    if row.is_reference:
        return Bar(0.0, t("compare.reference"))
    figure = row.kl
    if figure is None:
        return Bar(None)
    text = f"{figure.value:.4f}"
    if figure.low is not None and figure.high is not None:
        text += f" ({figure.low:.4f}–{figure.high:.4f})"
    return Bar(figure.value, text)
