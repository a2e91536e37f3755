"""What the routes of comparisons answer: our values without their owner and their token ids."""

from __future__ import annotations

from qwen_webui.api.shapes import Out
from qwen_webui.comparison import Comparison


class DifferenceOut(Out):
    """Where an answer first leaves the first column's, in tokens and characters from 0."""

    token: int
    character: int
    reference: str
    text: str


class CompareUsageOut(Out):
    """Counts in tokens, times in seconds."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds_to_first_token: float
    seconds: float
    tokens_per_second: float


class ComparedAnswerOut(Out):
    """`usage` and `ended` are null until it is finished, `equal` in the first column."""

    text: str
    usage: CompareUsageOut | None
    ended: str | None
    equal: bool | None
    difference: DifferenceOut | None
    error: str | None


class ColumnOut(Out):
    """One checkpoint, in bytes and seconds; null was not measured."""

    checkpoint: str
    title: str
    precision: str
    state: str
    answers: tuple[ComparedAnswerOut, ...]
    kernel: str
    device_name: str
    load_seconds: float | None
    weights_bytes: int | None
    cache_bytes: int | None
    peak_bytes: int | None
    tokens_per_second: float | None
    first_token_seconds: float | None
    error: str | None


class ComparisonEntryOut(Out):
    """A comparison in the list. `state` is waiting, running, restoring, done, cancelled, failed."""

    id: str
    created: str
    state: str
    answers_done: int
    answers_wanted: int
    error: str | None
    checkpoints: tuple[str, ...]
    titles: tuple[str, ...]


class ComparisonOut(ComparisonEntryOut):
    """All of it; `previous` was loaded before and is loaded again at the end."""

    columns: tuple[ColumnOut, ...]
    previous: str | None
    versions: dict[str, str]
    hardware: str


class ComparisonsOut(Out):
    """The caller's, newest first."""

    comparisons: tuple[ComparisonEntryOut, ...]


def entry_values(comparison: Comparison) -> dict[str, object]:
    names = ("id", "created", "state", "answers_done", "answers_wanted", "error")
    found: dict[str, object] = {name: getattr(comparison, name) for name in names}
    found["checkpoints"] = tuple(column.checkpoint for column in comparison.columns)
    found["titles"] = tuple(prompt.title for prompt in comparison.wanted.prompts)
    return found


def comparison_out(comparison: Comparison) -> ComparisonOut:
    more = {"versions": dict(comparison.versions), "hardware": comparison.hardware}
    return ComparisonOut.model_validate(
        {
            **entry_values(comparison),
            **more,
            "columns": comparison.columns,
            "previous": comparison.previous,
        }
    )
