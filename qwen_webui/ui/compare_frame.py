"""The frame of the Compare tab: the form, and the places that assets/compare.js fills. Only text.

The same for every visitor of a language; no blank line in it, which would end the HTML.
"""

from __future__ import annotations

from qwen_webui.limits import RANGES
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts

FIRST_LENGTH = 256
SETS = (
    ("compare.set_chat", "compare.prompts_chat"),
    ("compare.set_mathematics", "compare.prompts_mathematics"),
    ("compare.set_json", "compare.prompts_json"),
)


def compare_side(t: Texts) -> str:
    """Above the foot of the side column: a new comparison, and those that were kept."""
    return (
        '<div class="qw-runs"><button type="button" class="qw-new-run" data-do="compare-new">'
        f"{escape(t('compare.new'))}</button>"
        f'<div class="qw-run-list" data-comparisons tabindex="-1" role="region" '
        f'aria-label="{escape(t("compare.kept"))}"></div></div>'
    )


def compare_main(t: Texts) -> str:
    """Below the tabs: the form, and below it what came out."""
    return (
        f'<div class="qw-compare"><h2 class="qw-compare-title">{escape(t("compare.title"))}</h2>'
        f'<p class="qw-quiet">{escape(t("compare.lead"))}</p>'
        '<div class="qw-note" data-compare="busy" role="status" hidden></div>'
        f'<form data-compare="form" aria-label="{escape(t("compare.form"))}">'
        '<div data-compare="choice"></div>'
        f"{_asked(t)}{_sampling(t)}{_go(t)}</form>"
        '<div data-compare="result"></div></div>'
    )


def _asked(t: Texts) -> str:
    sets = "".join(
        f'<button type="button" class="qw-chip-button" data-set="{prompts}">'
        f"{escape(t(label))}</button>"
        for label, prompts in SETS
    )
    return (
        f"<fieldset><legend>{escape(t('compare.asked'))}</legend>"
        '<div class="qw-compare-sources"><label><input type="radio" name="source" '
        f'value="prompts" checked> {escape(t("compare.own_prompts"))}</label>'
        '<label><input type="radio" name="source" value="conversation" disabled '
        'aria-describedby="qw-compare-said"> '
        f"{escape(t('compare.conversation'))}</label>"
        '<span id="qw-compare-said" class="qw-quiet" data-compare="said"></span></div>'
        '<div data-compare="prompts"><div class="qw-compare-sets" role="group" '
        f'aria-label="{escape(t("compare.sets"))}"><span class="qw-quiet">'
        f"{escape(t('compare.sets'))}</span>{sets}</div>"
        f'<label for="qw-compare-text">{escape(t("compare.prompt"))}</label>'
        '<textarea id="qw-compare-text" rows="4" aria-describedby="qw-compare-hint"></textarea>'
        f'<p id="qw-compare-hint" class="qw-quiet">{escape(t("compare.prompt_hint"))}</p>'
        "</div></fieldset>"
    )


def _sampling(t: Texts) -> str:
    heat, most = RANGES["temperature"], RANGES["max_new_tokens"]
    return (
        f"<details><summary>{escape(t('compare.sampling'))} "
        f'<span class="qw-quiet" data-compare="sampling">{escape(t("compare.greedy"))}</span>'
        '</summary><div class="qw-compare-numbers">'
        f'<label for="qw-compare-heat">{escape(t("sampling.temperature"))}</label>'
        f'<input id="qw-compare-heat" type="number" inputmode="decimal" min="{heat.low}" '
        f'max="{heat.high}" step="0.05" value="0">'
        f'<label for="qw-compare-seed">{escape(t("sampling.seed"))}</label>'
        '<input id="qw-compare-seed" type="number" inputmode="numeric" min="0" step="1">'
        f'<label for="qw-compare-most">{escape(t("sampling.max_new_tokens"))}</label>'
        f'<input id="qw-compare-most" type="number" inputmode="numeric" min="{most.low}" '
        f'max="{most.high}" step="1" value="{FIRST_LENGTH}"></div>'
        f'<p class="qw-quiet">{escape(t("compare.greedy_hint"))}</p></details>'
    )


def _go(t: Texts) -> str:
    return (
        '<div class="qw-compare-go"><span class="qw-quiet" data-compare="count" role="status">'
        '</span><span class="qw-wrong" data-compare="wrong" role="alert"></span>'
        f'<button type="submit" id="qw-compare-run">{escape(t("compare.run"))}</button></div>'
    )
