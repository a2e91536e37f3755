"""The word lists: plain text, words divided by white space, `_` standing for a blank in a word."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@cache
def words(language: str, name: str) -> tuple[str, ...]:
    """The words of `words/LANGUAGE/NAME.txt`, in the file's order."""
    text = (_FOLDER / language / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(word.replace("_", " ") for word in text.split())


@cache
def lines(language: str, name: str) -> tuple[str, ...]:
    """The lines of `words/LANGUAGE/NAME.txt` that are neither empty nor comments (`#`)."""
    text = (_FOLDER / language / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(row for row in text.splitlines() if row.strip() and not row.startswith("#"))


@cache
def table(language: str, name: str) -> dict[str, Any]:
    """The TOML file `words/LANGUAGE/NAME.toml`."""
    return tomllib.loads((_FOLDER / language / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def texts(language: str) -> tuple[str, ...]:
    """The whole text of every file of a language, in the order of their names."""
    files = sorted((_FOLDER / language).glob("*.toml")) + sorted((_FOLDER / language).glob("*.txt"))
    kept = [path for path in files if path.stem != "handwritten"]
    return tuple(path.read_text(encoding="utf-8") for path in kept)
