"""The advisor on the page: beside the list of models, and as the suggestion below the top bar.

The advice is advice/'s; here it becomes HTML. What loads is model_bar's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from qwen_webui.advice import (
    Advice,
    Machine,
    Said,
    advise,
    command_line,
    server_machine,
    usual_context,
)
from qwen_webui.advice.words import pace
from qwen_webui.errors import WebUIError
from qwen_webui.measure.speed import measured_here
from qwen_webui.services import Services
from qwen_webui.types import USES, Use
from qwen_webui.ui import units
from qwen_webui.ui.markup import escape
from qwen_webui.ui.model_row import (
    Row,
    View,
    costs,
    display_name,
    forecast_bar,
    load_button,
)
from qwen_webui.ui.texts import Texts

CONTEXTS = (2_048, 8_192, 32_768, 131_072)
USE_TEXTS: dict[Use, str] = {
    "chat": "advice.chat",
    "code": "advice.code",
    "mathematics": "advice.mathematics",
    "json": "advice.json",
    "documents": "advice.documents",
}


async def suggestion_html(services: Services, t: Texts) -> str:
    """For who talks to the embedded model: the best real one for chat, one click to load."""
    try:
        rows = await services.manager.forecasts()
    except WebUIError:
        return ""  # the list of models says why nothing can be forecast
    view = View(rows, services.manager.status(), services.settings.offline, t)
    if not rows:
        return ""
    need = rows[0][1]
    machine = Machine(need.device, "", need.free, need.total)
    # Which one does not depend on its speed, and that is not told here.
    found = _advise(view, machine, "chat", usual_context(services.settings.max_context), {})
    row = _row(view, found)
    if row is None:
        return ""
    return (
        f'<aside class="qw-suggest"><p><span>{escape(t("model.recommended"))}:</span> '
        f"<b>{escape(display_name(row[0], t))}</b> <span>{costs(row, t)}</span></p>"
        f"{load_button(row, view)}</aside>"
    )


async def advisor_html(services: Services, view: View) -> str:
    """The two questions, and the answer to them as they stand first. Nothing where the models are
    another server's: what they take is not this machine's."""
    if services.settings.engine_url or not view.rows:
        return ""
    t, context = view.t, _present_context(services)
    uses = [(use, t(USE_TEXTS[use])) for use in USES]
    contexts = [
        (str(one), t("advice.tokens", count=units.count(one)))
        for one in sorted({*CONTEXTS, context})
    ]
    answer = await _answer(services, view, "chat", context)
    return (
        f'<section class="qw-best qw-advice"><form data-advice="">'
        f"<h3>{escape(t('model.recommended'))}</h3>"
        f"{_select('use', t('advice.use'), uses, 'chat')}"
        f"{_select('context', t('advice.context'), contexts, str(context))}</form>"
        f'<div aria-live="polite">{answer}</div></section>'
    )


async def answer_html(services: Services, t: Texts, use: Use, context: int, *, admin: bool) -> str:
    """The answer to another question. Raises InvalidRequest for a context nobody has."""
    rows = await services.manager.forecasts()
    view = View(rows, services.manager.status(), services.settings.offline, t, admin)
    return await _answer(services, view, use, context)


async def _answer(services: Services, view: View, use: Use, context: int) -> str:
    machine = await server_machine(services.manager)
    settings = services.settings
    measured = await asyncio.to_thread(
        measured_here, settings.data_dir, machine.room, settings.engine_path
    )
    found = await asyncio.to_thread(_advise, view, machine, use, context, measured)
    row = _row(view, found)
    t = view.t
    if row is None or found.choice is None:
        missing = found.missing.to(t.language) if found.missing else ""
        notes = "".join(f"<li>{_said(said, t)}</li>" for said in found.warnings)
        return f'<p class="qw-note">{escape(missing)}</p><ul>{notes}</ul>'
    choice = found.choice
    need = choice.forecast
    takes = t(
        "advice.spare",
        needed=units.size(need.needed),
        free=units.size(need.free),
        weights=units.size(need.weights),
        kv=units.size(need.kv_cache),
        rest=units.size(need.activations + need.overhead),
        spare=units.size(choice.spare),
    )
    speed = f"{t('advice.speed')}: {pace(choice.speed).to(t.language)}"
    why = found.reasons[1] if len(found.reasons) > 1 else found.reasons[0]
    return (
        f'<div class="qw-advised"><div><b>{escape(display_name(choice.spec, t))}</b>'
        f"{forecast_bar(need)}<p>{escape(takes)}</p>"
        f'<p title="{escape(choice.speed.basis.text.to(t.language))}">{escape(speed)} · '
        f"{costs(row, t).split(' · ')[0]}</p><p>{escape(why.text.to(t.language))}</p></div>"
        f"{load_button(row, view, strong=True)}</div>"
        f"{_other_context(row, found, t)}{_more(found, t)}"
    )


def _advise(
    view: View, machine: Machine, use: Use, context: int, measured: Mapping[str, float]
) -> Advice:
    on_hand = [spec for spec, _ in view.rows if spec.folder or not view.offline]
    return advise(on_hand, machine, use, context, measured=measured)


def _row(view: View, found: Advice) -> Row | None:
    """The row of the list that is recommended."""
    name = found.choice.spec.name if found.choice else None
    return next((row for row in view.rows if row[0].name == name), None)


def _present_context(services: Services) -> int:
    info = services.manager.status().info
    if info is not None and info.checkpoint.family == "qwen2.5":
        return usual_context(info.max_context)
    return usual_context(services.settings.max_context)


def _select(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    inner = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(text)}</option>"
        for value, text in options
    )
    return f'<label><span>{escape(label)}</span><select name="{name}">{inner}</select></label>'


def _other_context(row: Row, found: Advice, t: Texts) -> str:
    """A load from the list takes the context that the program was started with."""
    given = row[1].context
    if given == found.context:
        return ""
    text = t(
        "advice.other_context",
        context=units.count(given),
        wanted=units.count(found.context),
        command=command_line(found),
    )
    return f'<p class="qw-note">{escape(text)}</p>'


def _more(found: Advice, t: Texts) -> str:
    """All reasons, the other choices and the warnings, folded away."""
    assert found.choice is not None, "only for a recommendation"
    groups = [
        ("advice.why", [_said(said, t) for said in found.reasons]),
        ("advice.speed", [_said(found.choice.speed.basis, t)]),
        ("advice.others", [escape(one.text.to(t.language)) for one in found.runners_up]),
        ("advice.notes", [_said(said, t) for said in found.warnings]),
    ]
    inner = "".join(
        f"<h4>{escape(t(key))}</h4><ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"
        for key, lines in groups
        if lines
    )
    return f"<details><summary>{escape(t('advice.more'))}</summary>{inner}</details>"


def _said(said: Said, t: Texts) -> str:
    text = escape(said.text.to(t.language))
    source = said.source(t.language)
    if not source:
        return text
    return f"{text} <small>{escape(t('advice.source', source=source))}</small>"
