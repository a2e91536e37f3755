"""The parts of the page that are our own HTML: the list, the welcome, the meter, the notes.

Only makes text from values; every foreign word is escaped here.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence

from qwen_webui.chat import ContextUse
from qwen_webui.personas import Persona
from qwen_webui.store import ConversationEntry
from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.units import count


def conversation_list(
    entries: Sequence[ConversationEntry], current: str, query: str, t: Texts, now: dt.datetime
) -> str:
    """The sidebar's list, latest first, under headings of time."""
    if not entries:
        text = t("side.nothing_found", query=query) if query else t("side.none")
        return _list(current, f"<p>{escape(text)}</p>")
    parts, heading = [], ""
    for entry in entries:
        when = age(entry.updated, now, t)
        if when != heading:
            parts.append(("</ul>" if heading else "") + f"<h2>{escape(when)}</h2><ul>")
            heading = when
        parts.append(_entry(entry, entry.id == current, t))
    return _list(current, f"{''.join(parts)}</ul>")


def welcome(persona: Persona | None, t: Texts) -> str:
    """What an empty conversation shows: who answers, and examples to click."""
    name = persona.name[t.language] if persona else t("persona.custom")
    about = persona.description[t.language] if persona else t("persona.custom_note")
    examples = persona.examples[t.language] if persona else ()
    links = "".join(
        f'<li><a class="qw-act qw-example" role="button" href="#qw-example-{at}">'
        f"<span>{escape(' '.join(text.split()))}</span></a></li>"
        for at, text in enumerate(examples)
    )
    return (
        f'<div class="qw-welcome"><h1>{escape(t("chat.welcome"))}</h1>'
        f"<p><b>{escape(name)}</b> {escape(about)}</p>"
        + (f"<h2>{escape(t('chat.try'))}</h2><ul>{links}</ul>" if links else "")
        + "</div>"
    )


def meter(use: ContextUse | None, role: str, t: Texts, text: str = "") -> str:
    """The line under the box: who answers, and how much of the context is taken; above it a way on
    for a `text` that is more than the context can take."""
    return _long(use, t, text) + (
        '<div class="qw-meter"><button type="button" class="qw-role" data-do="panel">'
        f"{escape(role)}</button>{_gauge(use, t)}</div>"
    )


def persona_note(persona: Persona | None, t: Texts) -> str:
    """The line under the selector."""
    text = persona.description[t.language] if persona else t("persona.custom_note")
    return f'<div class="qw-small">{escape(text)}</div>'


def cost_note(use: ContextUse | None, t: Texts) -> str:
    """What the system message costs."""
    text = t("persona.cost", tokens=count(use.system_tokens)) if use else t("persona.cost_unknown")
    return f'<div class="qw-small qw-cost">{escape(text)}</div>'


def banner(t: Texts) -> str:
    """Shown above the box while an earlier message is edited."""
    return (
        f'<div class="qw-banner"><span>{escape(t("chat.editing"))}</span>'
        f'<button type="button" data-do="edit-cancel">{escape(t("chat.edit_cancel"))}</button>'
        "</div>"
    )


def _list(current: str, inner: str) -> str:
    """Drawn anew even when nothing in it changed: that tells assets/turns.js that the page is
    where it was going."""
    mark = secrets.token_hex(4)
    return f'<div class="qw-list" data-current="{escape(current)}" data-mark="{mark}">{inner}</div>'


def is_too_long(use: ContextUse) -> bool:
    """Whether a text is more than the context can take, and not the role before it."""
    return use.used > use.available > use.system_tokens


def _long(use: ContextUse | None, t: Texts, text: str) -> str:
    if use is None or not is_too_long(use) or not text.strip():
        return ""
    return (
        f'<div class="qw-long" role="status"><span>{escape(t("documents.long"))}</span>'
        '<button type="button" data-do="attach-text">'
        f"{escape(t('documents.long_attach'))}</button></div>"
    )


def _gauge(use: ContextUse | None, t: Texts) -> str:
    if use is None:
        return f"<span>{escape(t('chat.context_unknown'))}</span>"
    text = t("chat.context_of", used=count(use.used), available=count(use.available))
    share = min(100, round(100 * use.used / use.available)) if use.available else 100
    level = "full" if share >= 90 else "high" if share >= 70 else "low"
    label = escape(f"{t('chat.context')}: {text}")
    left = ""
    if use.left_out_turns:
        key = "chat.context_left_out_one" if use.left_out_turns == 1 else "chat.context_left_out"
        left = f'<span class="qw-left">{escape(t(key, turns=use.left_out_turns))}</span>'
    return (
        f'<span class="qw-gauge qw-{level}" role="meter" aria-label="{label}" aria-valuemin="0" '
        f'aria-valuemax="{use.available}" aria-valuenow="{min(use.used, use.available)}">'
        f'<i style="width:{share}%"></i></span>'
        f'<span class="qw-used"><span class="qw-wide">{escape(t("chat.context"))} </span>'
        f"{escape(text)}</span>{left}"
    )


def _entry(entry: ConversationEntry, current: bool, t: Texts) -> str:
    title = entry.title or t("side.untitled")
    name = escape(title)
    here = ' aria-current="page"' if current else ""
    return (
        f"<li{' class=qw-here' if current else ''}>"
        f'<a href="?c={entry.id}" data-open="{entry.id}" title="{name}"{here}>{name}</a>'
        f'<button type="button" data-menu="{entry.id}" data-title="{name}" aria-haspopup="menu" '
        f'aria-expanded="false" aria-label="{escape(t("side.actions", title=title))}"></button>'
        "</li>"
    )


def age(updated: float, now: dt.datetime, t: Texts) -> str:
    """The heading of a list under which something of then stands now."""
    days = (now.date() - dt.datetime.fromtimestamp(updated, now.tzinfo).date()).days
    if days <= 0:
        return t("side.today")
    if days == 1:
        return t("side.yesterday")
    return t("side.week") if days < 7 else t("side.older")
