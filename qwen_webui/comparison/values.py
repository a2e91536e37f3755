"""The values of a comparison: what was asked, how far it is, what came out. Standard library only.

A comparison puts the same prompts to several checkpoints, one checkpoint after the other, because
only one is in memory at a time. `run.py` makes these values; the page, the API and the store of
results read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_webui.types import Message, Precision, Sampling, Usage

ComparisonState = Literal["waiting", "running", "restoring", "done", "cancelled", "failed"]
ColumnState = Literal["waiting", "loading", "answering", "done", "failed", "not_run"]


@dataclass(frozen=True)
class Prompt:
    """A conversation that ends with the user's turn; `title` is how a list names it."""

    title: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Wanted:
    """What is to be compared. `checkpoints` are names of the library, the first one is what the
    others are held against; greedy unless `sampling` says otherwise."""

    checkpoints: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    sampling: Sampling


@dataclass(frozen=True)
class Difference:
    """Where an answer first leaves the first column's: `token` counts from 0, `reference` and
    `text` are the tokens' texts there, empty where that answer had ended. `character` is the length
    of the text that both have in common."""

    token: int
    character: int
    reference: str
    text: str


@dataclass(frozen=True)
class Answer:
    """One prompt through one checkpoint. `usage` and `ended` are None until it is finished;
    `token_ids` without special tokens. `difference` is None for the first column, for equal
    answers (`equal` is True then), and until the answer is finished. `error` is a sentence."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    usage: Usage | None = None
    ended: Literal["stop", "length"] | None = None
    equal: bool | None = None
    difference: Difference | None = None
    error: str | None = None


@dataclass(frozen=True)
class Column:
    """One checkpoint. Bytes and seconds; what has not been measured is None. `peak_bytes` is the
    most that the worker held while it answered, `tokens_per_second` and `first_token_seconds` are
    the medians over its prompts."""

    checkpoint: str
    title: str
    precision: Precision
    state: ColumnState = "waiting"
    answers: tuple[Answer, ...] = ()
    kernel: str = ""
    device_name: str = ""
    load_seconds: float | None = None
    weights_bytes: int | None = None
    cache_bytes: int | None = None
    peak_bytes: int | None = None
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Comparison:
    """One comparison, finished or under way. `created` is ISO 8601 in UTC; `previous` is the
    checkpoint that was loaded before and is given back; `error` says why it failed, or that what
    was loaded before could not be given back."""

    id: str
    owner: str
    created: str
    state: ComparisonState
    wanted: Wanted
    columns: tuple[Column, ...]
    previous: str | None = None
    versions: tuple[tuple[str, str], ...] = ()
    hardware: str = ""
    error: str | None = None

    @property
    def active(self) -> bool:
        """Whether it still waits, computes or gives back."""
        return self.state in ("waiting", "running", "restoring")

    @property
    def answers_done(self) -> int:
        """Answers that are finished or failed."""
        return sum(
            answer.usage is not None or answer.error is not None
            for column in self.columns
            for answer in column.answers
        )

    @property
    def answers_wanted(self) -> int:
        """Answers of the whole comparison."""
        return len(self.wanted.checkpoints) * len(self.wanted.prompts)
