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

    def __init__(
        self, language: Language, texts: Mapping[str, str], english: Mapping[str, str]
    ) -> None:
        self.language = language
        self._texts = texts
        # In English such a sentence says itself what is to be said.
        self._sentences = {
            begins: texts[key]
            for key, begins in english.items()
            if key.startswith("refusals.") and language != "en"
        }

    def __call__(self, key: str, **values: object) -> str:
        """The text with its {places} filled; a missing key is a mistake of ours."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def error(self, code: str, message: str = "") -> str:
        """What an error means to a reader: what its message says, where that is a sentence that is
        known, or what its code does; empty when only the message says so."""
        for begins, meaning in self._sentences.items():
            if message.startswith(begins):
                return meaning
        return self._texts.get(f"errors.{code}", "")

    def all(self) -> Mapping[str, str]:
        """Every text by its key."""
        return self._texts


class AllTexts:
    """Both languages."""

    def __init__(self) -> None:
        flat = {language: _read(language) for language in LANGUAGES}
        self._by_language = {
            language: Texts(language, texts, flat["en"]) for language, texts in flat.items()
        }

    def __getitem__(self, language: Language) -> Texts:
        return self._by_language[language]


def _read(language: Language) -> dict[str, str]:
    folder = resources.files("qwen_webui.ui") / "texts"
    tables = tomllib.loads((folder / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{name}.{key}": text for name, table in tables.items() for key, text in table.items()}
