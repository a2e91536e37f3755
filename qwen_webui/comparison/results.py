"""Finished comparisons on disk: a JSON file each in the folder `comparisons` of the data folder.

Another owner's comparison is missing exactly as one that never was. Blocking, for threads, but for
`get` and `listed`, which read what was read at the start or kept since.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen_webui.comparison.values import (
    Answer,
    Column,
    Comparison,
    Difference,
    Prompt,
    Wanted,
)
from qwen_webui.errors import NotFound, StoreError
from qwen_webui.types import Message, Sampling, ToolCall, Usage

FOLDER = "comparisons"
FORMAT = "qwen-webui comparison 1"
MOST_KEPT = 20  # of an owner
MOST_OF_ALL = 500  # of everybody: a server may have many visitors
_MOST_BYTES = 64 << 20

log = logging.getLogger(__name__)


class Results:
    """The newest comparisons of every owner. A file that cannot be read is left where it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, Comparison] = {}
        for path in sorted(folder.glob("*.json")):
            if (found := _read(path)) is not None:
                self._kept[found.id] = found

    def listed(self, owner: str) -> tuple[Comparison, ...]:
        """The owner's, newest first."""
        own = [kept for kept in self._kept.values() if kept.owner == owner]
        return tuple(sorted(own, key=_age, reverse=True))

    def get(self, owner: str, id: str) -> Comparison:
        """One of the owner's. Raises NotFound."""
        found = self._kept.get(id)
        if found is None or found.owner != owner:
            raise missing()
        return found

    def keep(self, comparison: Comparison) -> None:
        """Write it, all or nothing, and delete what is too many. It is kept until the program ends
        even where it cannot be written. Raises StoreError."""
        self._kept[comparison.id] = comparison
        try:
            self._write(comparison)
            every = sorted(self._kept.values(), key=_age, reverse=True)
            for old in (*self.listed(comparison.owner)[MOST_KEPT:], *every[MOST_OF_ALL:]):
                self._remove(old.id)
        except OSError as error:
            raise StoreError(
                f"The comparison cannot be kept on the disk ({error.strerror}). Make room there, "
                "or choose another folder with --data-dir."
            ) from error

    def delete(self, owner: str, id: str) -> None:
        """Delete one for good. Raises NotFound and StoreError."""
        self.get(owner, id)
        try:
            self._remove(id)
        except OSError as error:
            raise StoreError(
                f"The comparison cannot be deleted ({error.strerror}). Check the rights of the "
                "data folder."
            ) from error

    def _write(self, comparison: Comparison) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        value = {"format": FORMAT, **dataclasses.asdict(comparison)}
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(value, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._folder / f"{comparison.id}.json")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _remove(self, id: str) -> None:
        (self._folder / f"{id}.json").unlink(missing_ok=True)
        self._kept.pop(id, None)


def missing() -> NotFound:
    """The one answer for a comparison that is not there, or not the owner's."""
    return NotFound("There is no such comparison; it may have been deleted.", param="id")


def _age(comparison: Comparison) -> tuple[str, str]:
    return comparison.created, comparison.id


def _read(path: Path) -> Comparison | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        value = json.loads(path.read_text(encoding="utf-8"))
        if value.pop("format") != FORMAT or value["id"] != path.stem:
            raise ValueError("it is of another format")
        return _comparison(value)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the comparison %s cannot be read and is left out (%s)", path.name, error)
        return None


def _comparison(value: Mapping[str, Any]) -> Comparison:
    wanted = value["wanted"]
    prompts = tuple(
        Prompt(prompt["title"], tuple(_message(message) for message in prompt["messages"]))
        for prompt in wanted["prompts"]
    )
    asked = Wanted(tuple(wanted["checkpoints"]), prompts, _sampling(wanted["sampling"]))
    columns = tuple(_column(column) for column in value["columns"])
    versions = tuple((name, version) for name, version in value["versions"])
    return Comparison(**{**value, "wanted": asked, "columns": columns, "versions": versions})


def _message(value: Mapping[str, Any]) -> Message:
    calls = tuple(ToolCall(**call) for call in value["tool_calls"])
    return Message(value["role"], value["content"], calls)


def _sampling(value: Mapping[str, Any]) -> Sampling:
    bias = tuple((token, weight) for token, weight in value["logit_bias"])
    return Sampling(**{**value, "logit_bias": bias, "stop": tuple(value["stop"])})


def _column(value: Mapping[str, Any]) -> Column:
    return Column(**{**value, "answers": tuple(_answer(answer) for answer in value["answers"])})


def _answer(value: Mapping[str, Any]) -> Answer:
    usage, difference = value["usage"], value["difference"]
    parts = {
        "token_ids": tuple(value["token_ids"]),
        "usage": Usage(**usage) if usage else None,
        "difference": Difference(**difference) if difference else None,
    }
    return Answer(**{**value, **parts})
