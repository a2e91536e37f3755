"""Which of the two languages a browser wants, from its cookie and its headers alone."""

from __future__ import annotations

import re

from qwen_webui.personas import Language

LANGUAGE_COOKIE = "qw_lang"
_CHINESE = re.compile(r"\s*zh\b", re.IGNORECASE)
_ENGLISH = re.compile(r"\s*en\b", re.IGNORECASE)


def wanted_language(chosen: str | None, accept_language: str) -> Language:
    """The language chosen with the switch, else the first of the browser's that there is."""
    if chosen == "zh":
        return "zh"
    if chosen == "en":
        return "en"
    for wish in accept_language.split(","):
        if _CHINESE.match(wish):
            return "zh"
        if _ENGLISH.match(wish):
            return "en"
    return "en"
