"""The vocabulary of a checkpoint as the constraining engine wants it: the bytes of every token.

Made of tokenizer.json alone. The marks of a tool call are plain text, every other added token can
never be part of a constrained answer, and rows of the model beyond the tokenizer's entries neither.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llguidance import LLTokenizer, TokenizerWrapper
from tokenizers import Tokenizer

from qwen_webui.errors import CheckpointError
from qwen_webui.structured.tools import CLOSING, OPENING
from qwen_webui.tokens.files import read_tokenizer_files


class _Vocabulary:
    """What TokenizerWrapper asks for, under the names it asks for."""

    bos_token_id = None

    def __init__(self, data: dict[str, Any], tokenizer: Tokenizer, size: int, end: int) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = end
        self.tokens = [b""] * size
        self.special_token_ids: list[int] = []
        values = _byte_values()
        for text, number in data["model"]["vocab"].items():
            self.tokens[number] = bytes([values[character] for character in text])
        for token in data.get("added_tokens") or []:
            self.tokens[token["id"]] = token["content"].encode()
            if token["content"] not in (OPENING, CLOSING):
                self.special_token_ids.append(token["id"])

    def __call__(self, text: str | bytes) -> list[int]:
        if isinstance(text, bytes):
            raise TypeError("text, not bytes")  # how the wrapper finds out what is taken
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def read_vocabulary(folder: Path, size: int | None = None) -> LLTokenizer:
    """The vocabulary of the checkpoint in `folder`, with `size` rows (the model's embedding; by
    default those of config.json). Takes about a second for 151,665 entries. Raises
    CheckpointError."""
    files = read_tokenizer_files(folder)
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    least = files.tokenizer.get_vocab_size(with_added_tokens=True)
    rows = max(size or _rows(folder), least)
    try:
        plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        vocabulary = _Vocabulary(data, plain, rows, files.stop_ids[0])
        return LLTokenizer(
            TokenizerWrapper(vocabulary), n_vocab=rows, eos_token=list(files.stop_ids)
        )
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise CheckpointError(
            "tokenizer.json of the checkpoint cannot be used to constrain answers: its tokens are "
            "not bytes. Download the checkpoint again."
        ) from error


def byte_vocabulary() -> LLTokenizer:
    """A token for each byte, for checking schemas before there is a model."""
    return LLTokenizer("byte")


def _rows(folder: Path) -> int:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    rows = config.get("vocab_size") if isinstance(config, dict) else None
    return rows if isinstance(rows, int) else 0


def _byte_values() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (GPT-2's table: printable
    bytes stand for themselves, the rest are counted up from U+0100)."""
    printable: Sequence[int] = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }
