"""The texts of the page in English and Chinese, read from texts/*.toml.

Only looks words up and puts values into them; which language a visitor reads is language.py's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources

from qwen_webui.personas import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")


class Texts:
    """One language's texts by dotted key, `chat.send` for example."""

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text with its {places} filled; a missing key is a mistake of ours."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def error(self, code: str) -> str:
        """What an error of this code means to a reader; empty when only its message says so."""
        return self._texts.get(f"errors.{code}", "")

    def all(self) -> Mapping[str, str]:
        """Every text by its key."""
        return self._texts


class AllTexts:
    """Both languages."""

    def __init__(self) -> None:
        self._by_language = {language: _read(language) for language in LANGUAGES}

    def __getitem__(self, language: Language) -> Texts:
        return self._by_language[language]


def _read(language: Language) -> Texts:
    folder = resources.files("qwen_webui.ui") / "texts"
    tables = tomllib.loads((folder / f"{language}.toml").read_text(encoding="utf-8"))
    flat = {f"{name}.{key}": text for name, table in tables.items() for key, text in table.items()}
    return Texts(language, flat)
