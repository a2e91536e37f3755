"""The look that Gradio's own components get; everything else is assets/*.css.

System fonts only: the page asks no other host for anything.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import sizes
from gradio.themes.utils.colors import Color

_ACCENT = Color(
    name="pine",
    c50="#eef7f4",
    c100="#d6ece5",
    c200="#aed9cc",
    c300="#7fc1af",
    c400="#4fa38f",
    c500="#2f8573",
    c600="#1f6b5c",
    c700="#1a574b",
    c800="#17463d",
    c900="#143a33",
    c950="#0a211d",
)
_GREY = Color(
    name="stone",
    c50="#fbfaf8",
    c100="#f4f2ee",
    c200="#e6e3dd",
    c300="#d2cec6",
    c400="#a19d95",
    c500="#75726b",
    c600="#57554f",
    c700="#3d3c38",
    c800="#262624",
    c900="#1a1b1a",
    c950="#121312",
)
_SANS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "sans-serif",
)
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def build_theme() -> gr.themes.Base:
    """The theme, light and dark."""
    return gr.themes.Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_GREY,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=list(_SANS),
        font_mono=list(_MONO),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_900",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_weight="500",
        block_title_text_weight="500",
        block_title_text_size="*text_sm",
        block_info_text_size="*text_xs",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_shadow="none",
        input_shadow_focus="none",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
    )
