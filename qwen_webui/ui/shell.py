"""The frame of the page: brand, top bar, heads and foot of the side columns. Only text."""

from __future__ import annotations

from qwen_webui.ui.markup import escape
from qwen_webui.ui.texts import Texts


def brand(t: Texts) -> str:
    """Above the list of conversations."""
    return (
        '<div class="qw-brand"><span class="qw-logo" aria-hidden="true"></span>'
        f"<b>Qwen WebUI</b>{_button('side', 'close', t('page.close'), 'qw-only-narrow')}</div>"
    )


def side_foot(t: Texts, *, keyed: bool) -> str:
    """Below the list of conversations; with a way out where visitors log in."""
    leave = _button("logout", "logout", t("page.logout")) if keyed else ""
    return (
        f'<div class="qw-foot-side"><p>{escape(t("side.stored"))}</p><div>'
        f"{_button('about', 'code', t('page.about'))}{_button('theme', 'theme', t('page.theme'))}"
        f"{leave}"
        f'<button type="button" class="qw-language" data-do="language" '
        f'title="{escape(t("page.language_title"))}" '
        f'aria-label="{escape(t("page.language_title"))}">{escape(t("page.language"))}</button>'
        "</div></div>"
    )


def top_bar(t: Texts) -> str:
    """Above the messages; the model's part is filled by assets/bar.js."""
    return (
        f'<div class="qw-top">{_button("side", "menu", t("page.open_sidebar"))}'
        '<div class="qw-bar"><span class="qw-chip qw-empty"><i></i><b>&nbsp;</b></span></div>'
        f"{_button('clear', 'clear', t('chat.clear'))}"
        f"{_button('panel', 'panel', t('page.toggle_panel'))}</div>"
        f'<div class="qw-lost" role="alert" hidden>{escape(t("page.lost"))}</div>'
        '<div class="qw-warning" role="alert" hidden></div>'
    )


def tabs(t: Texts) -> str:
    """Below the top bar: what the page can do. Links, so that each is an address of its own."""
    links = "".join(
        f'<a href="?tab={name}" data-tab-link="{name}">{escape(label)}</a>'
        for name, label in (
            ("chat", t("page.tab_chat")),
            ("json", t("page.tab_json")),
            ("compare", t("page.tab_compare")),
            ("monitor", t("page.tab_monitor")),
        )
    )
    return f'<nav class="qw-tabs" aria-label="{escape(t("page.tabs"))}">{links}</nav>'


def attach_button(t: Texts) -> str:
    """At the left of the box. The field behind it is what opens the choice of files."""
    label = escape(t("documents.attach_hint"))
    return (
        '<button type="button" class="qw-icon qw-icon-attach" data-do="attach" '
        f'title="{label}" aria-label="{label}"></button>'
        '<input type="file" multiple hidden data-attach-files>'
    )


def attached(t: Texts) -> str:
    """Above the box: the documents of the conversation, filled by assets/attach.js."""
    return (
        f'<div class="qw-documents" data-documents="chat" role="group" hidden '
        f'aria-label="{escape(t("documents.attached"))}"></div>'
    )


def panel_head(t: Texts) -> str:
    """Above role and sampling."""
    return (
        f'<div class="qw-panel-head"><h2>{escape(t("page.panel"))}</h2>'
        f"{_button('panel', 'close', t('page.close'))}</div>"
    )


def _button(do: str, icon: str, label: str, look: str = "") -> str:
    return (
        f'<button type="button" class="qw-icon qw-icon-{icon} {look}" data-do="{do}" '
        f'title="{escape(label)}" aria-label="{escape(label)}"></button>'
    )
