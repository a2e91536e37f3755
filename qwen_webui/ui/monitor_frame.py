"""The frame of the Monitor tab: tiles and the places of the plots. Only text.

What a plot shows is said here, in its data-attributes; assets/monitor.js and plots.js fill it. The
same for every visitor of a language; no blank line in it, which would end the HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.measure.monitor import HOUR
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts

RANGES = ((300, "monitor.minutes"), (HOUR, "monitor.hour"))


@dataclass(frozen=True)
class Plot:
    """`series` are columns of the history, each with the key of its name; `unit` is one that
    assets/plots.js knows. A plot `of` the card or the machine alone is shown with that only."""

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    stacked: bool = False
    of: str = ""


PLOTS = (
    Plot(
        "monitor.memory",
        "bytes",
        (
            ("weights", "monitor.weights"),
            ("cache", "monitor.cache"),
            ("rest", "monitor.rest"),
            ("others", "monitor.others"),
        ),
        stacked=True,
    ),
    Plot("monitor.speed", "speed", (("tokens_per_second", "monitor.speed_all"),)),
    Plot(
        "monitor.requests",
        "count",
        (("running", "monitor.running"), ("waiting", "monitor.waiting")),
    ),
    Plot("monitor.first_token", "seconds", (("first_token", "monitor.first_token_mean"),)),
    Plot(
        "monitor.utilisation",
        "percent",
        (("utilisation", "monitor.sm"), ("memory_utilisation", "monitor.memory_busy")),
        of="cuda",
    ),
    Plot("monitor.utilisation", "percent", (("utilisation", "monitor.processors"),), of="cpu"),
    Plot("monitor.power", "watts", (("power", "monitor.power"),), of="cuda"),
    Plot("monitor.temperature", "celsius", (("temperature", "monitor.temperature"),), of="cuda"),
    Plot(
        "monitor.clocks",
        "megahertz",
        (("sm_clock", "monitor.sm"), ("memory_clock", "monitor.memory_clock")),
        of="cuda",
    ),
)
# Of the latest sample: its columns, unit, name, and the device it is told of.
TILES = (
    ("memory_used,memory_total", "share", "monitor.memory", ""),
    ("tokens_per_second", "speed", "monitor.speed", ""),
    ("running,waiting", "queue", "monitor.running_waiting", ""),
    ("first_token", "seconds", "monitor.first_token", ""),
    ("utilisation", "percent", "monitor.utilisation", ""),
    ("power", "watts", "monitor.power", "cuda"),
    ("temperature", "celsius", "monitor.temperature", "cuda"),
    ("sm_clock,memory_clock", "clocks", "monitor.clocks", "cuda"),
)


def monitor_main(t: Texts) -> str:
    """Below the tabs."""
    tiles = "".join(
        f'<div data-tile="{columns}" data-unit="{unit}" data-of="{of}"><dt>{escape(t(name))}</dt>'
        "<dd>–</dd></div>"
        for columns, unit, name, of in TILES
    )
    ranges = "".join(
        f'<button type="button" data-range="{seconds}" aria-pressed="{str(not place).lower()}">'
        f"{escape(t(label))}</button>"
        for place, (seconds, label) in enumerate(RANGES)
    )
    return (
        '<div class="qw-monitor"><div class="qw-monitor-head"><h2>'
        f"{escape(t('monitor.title'))}</h2>"
        '<span class="qw-quiet" data-monitor="device"></span>'
        f'<div class="qw-segments" role="group" aria-label="{escape(t("monitor.range"))}">{ranges}'
        f'</div></div><dl class="qw-tiles">{tiles}</dl>'
        f'<div class="qw-plots">{"".join(_plot(plot, t) for plot in PLOTS)}</div>'
        f'<p class="qw-quiet">{escape(t("monitor.kept"))}</p></div>'
    )


def _plot(plot: Plot, t: Texts) -> str:
    legend = "".join(
        f'<li data-series="{column}"><i aria-hidden="true"></i>{escape(t(name))} <b>–</b></li>'
        for column, name in plot.series
    )
    stacked = " data-stacked" if plot.stacked else ""
    title = escape(t(plot.title))
    return (
        f'<figure class="qw-plot" data-unit="{plot.unit}" data-of="{plot.of}"{stacked}>'
        f'<figcaption><b>{title}</b><ul>{legend}</ul><time aria-hidden="true"></time></figcaption>'
        f'<div class="qw-canvas" tabindex="0" role="img" data-title="{title}" '
        f'aria-label="{title}"></div></figure>'
    )
