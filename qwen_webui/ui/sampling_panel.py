"""How words are chosen: sliders that start at the model's and the role's own values.

A slider that nobody moved follows the defaults when the model or the role changes, and is sent as
"unset"; one that was moved stays and counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import gradio as gr

from qwen_webui.errors import InvalidRequest
from qwen_webui.limits import MAX_NEW_TOKENS
from qwen_webui.types import Sampling
from qwen_webui.ui import units
from qwen_webui.ui.desk import Desk, Frame, Visit, noticed
from qwen_webui.ui.form import SLIDERS, Role, shown_value
from qwen_webui.ui.markup import escape
from qwen_webui.ui.parts import SamplingParts

# Lowest, highest, step. Narrower than what the API takes where more would be of no use.
_BOUNDS = {
    "temperature": (0.0, 2.0, 0.05),
    "top_p": (0.01, 1.0, 0.01),
    "top_k": (0, 200, 1),
    "repetition_penalty": (0.8, 2.0, 0.01),
    "max_new_tokens": (0, MAX_NEW_TOKENS, 16),
}
# Where the sliders stand before any model was loaded: nothing is changed by them.
_START = Sampling(temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0)


def build_sampling(i18n: gr.I18n) -> SamplingParts:
    """The lower half of the panel at the right."""
    with gr.Accordion(i18n("sampling.title"), open=False, elem_id="qw-sampling"):
        defaults = gr.Markdown(sanitize_html=False, latex_delimiters=[])
        sliders = tuple(_slider(name, i18n) for name in SLIDERS)
        seed = gr.Textbox(
            label=i18n("sampling.seed"),
            info=i18n("sampling.seed_info"),
            elem_id="qw-seed",
            max_lines=1,
            interactive=True,
        )
        reset = gr.Button(i18n("sampling.reset"), size="sm", elem_id="qw-reset")
    base = gr.Textbox(_base(_START), visible=False)
    return SamplingParts(sliders, seed, defaults, reset, base)


class SamplingHandlers:
    """Each method is the handler of one event."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def reset(self, persona: str, system: str, request: gr.Request) -> Frame:
        """Every slider back to the defaults, the seed to random."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            role = Role.read(self._desk.services.personas, persona, system)
        defaults = self._desk.defaults(role) or _START
        parts = self._desk.parts.sampling
        values = (shown_value(name, defaults) for name in SLIDERS)
        return {
            **dict(zip(parts.sliders, values, strict=True)),
            parts.seed: "",
            parts.base: _base(defaults),
        }


def moved_frame(
    desk: Desk, visit: Visit, role: Role, base: str, sliders: Sequence[object]
) -> Frame:
    """The sliders for a new role or model: those at their old defaults go to the new ones."""
    parts = desk.parts.sampling
    defaults = desk.defaults(role)
    if defaults is None:
        return {parts.defaults: defaults_note(None, visit)}
    with noticed(visit.t):
        old = read_base(base)
    frame = {
        part: shown_value(name, defaults)
        for part, name, value in zip(parts.sliders, SLIDERS, sliders, strict=True)
        if _stands_at(value, shown_value(name, old))
    }
    return {**frame, parts.base: _base(defaults), parts.defaults: defaults_note(defaults, visit)}


def read_base(base: object) -> Sampling:
    """Where the page last put the sliders. Raises InvalidRequest for what it cannot have sent."""
    try:
        values = json.loads(base) if isinstance(base, str) else None
        read = {name: float(values[name]) for name in SLIDERS} if values else {}
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest("The page is out of date. Reload it.", param="base") from error
    return replace(_START, **read)  # type: ignore[arg-type]


def defaults_note(defaults: Sampling | None, visit: Visit) -> str:
    """The defaults in words."""
    if defaults is None:
        text = visit.t("sampling.defaults_unknown")
    else:
        named = {name: units.plain(getattr(defaults, name)) for name in SLIDERS[:4]}
        text = visit.t("sampling.defaults", **named)
    return f'<div class="qw-small">{escape(text)}</div>'


def _slider(name: str, i18n: gr.I18n) -> gr.Slider:
    low, high, step = _BOUNDS[name]
    return gr.Slider(
        low,
        high,
        value=shown_value(name, _START),
        step=step,
        label=i18n(f"sampling.{name}"),
        info=i18n(f"sampling.{name}_info"),
        elem_id=f"qw-{name.replace('_', '-')}",
        interactive=True,
    )


def _base(sampling: Sampling) -> str:
    return json.dumps({name: shown_value(name, sampling) for name in SLIDERS})


def _stands_at(value: object, place: float) -> bool:
    return isinstance(value, (int, float)) and math.isclose(value, place, abs_tol=1e-9)
