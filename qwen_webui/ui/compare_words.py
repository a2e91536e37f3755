"""A comparison in words: what it is called, how far it is, and the facts of its columns.

Only text, not yet escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from qwen_webui.comparison.values import Answer, Column, Comparison
from qwen_webui.ui import units
from qwen_webui.ui.texts import Texts

STATES = {
    "waiting": "compare.state_waiting",
    "running": "compare.state_running",
    "restoring": "compare.state_restoring",
    "done": "compare.state_done",
    "cancelled": "compare.state_cancelled",
    "failed": "compare.state_failed",
}
COLUMN_STATES = {
    "waiting": "compare.column_waiting",
    "loading": "compare.column_loading",
    "answering": "compare.column_answering",
    "done": "compare.column_done",
    "failed": "compare.column_failed",
    "not_run": "compare.column_not_run",
}


def with_names(comparison: Comparison, names: Mapping[str, str]) -> Comparison:
    """The same with columns called as `names` has it; others keep the title they were run under."""
    columns = (replace(c, title=names.get(c.checkpoint, c.title)) for c in comparison.columns)
    return replace(comparison, columns=tuple(columns))


def comparison_title(comparison: Comparison, t: Texts) -> str:
    """The first prompt; how many more."""
    prompts = comparison.wanted.prompts
    first = prompts[0].title if prompts else ""
    if len(prompts) < 2:
        return first
    return t("compare.and_more", title=first, count=len(prompts) - 1)


def progress_words(comparison: Comparison, t: Texts) -> str:
    """What it does now, which checkpoint of how many, and which prompt."""
    if comparison.state != "running":
        return t(STATES[comparison.state])
    for place, column in enumerate(comparison.columns, 1):
        if column.state not in ("loading", "answering"):
            continue
        key = "compare.now_loading" if column.state == "loading" else "compare.now_answering"
        prompts = len(comparison.wanted.prompts)
        return t(
            key,
            name=column.title,
            place=place,
            count=len(comparison.columns),
            prompt=min(prompts, _finished(column) + 1),
            prompts=prompts,
        )
    return t("compare.state_running")


def _finished(column: Column) -> int:
    return sum(answer.usage is not None or answer.error is not None for answer in column.answers)


def column_facts(column: Column, t: Texts) -> Iterator[tuple[str, str]]:
    """Name and figure of all that was measured, for the head of the column."""
    if column.tokens_per_second is not None:
        yield t("compare.speed"), f"{column.tokens_per_second:.1f}"
    if column.first_token_seconds is not None:
        yield t("compare.first_token"), _seconds(column.first_token_seconds, t)
    if column.load_seconds is not None:
        yield t("compare.load"), _seconds(column.load_seconds, t)
    for name, value in (
        ("compare.weights", column.weights_bytes),
        ("compare.cache", column.cache_bytes),
        ("compare.peak", column.peak_bytes),
    ):
        if value is not None:
            yield t(name), units.size(value)
    if column.kernel:
        yield t("model.kernel"), column.kernel
    if column.device_name:
        yield t("model.device"), column.device_name


def answer_facts(answer: Answer, t: Texts) -> str:
    """Tokens and seconds of a finished answer, and whether it was cut."""
    if answer.usage is None:
        return ""
    said = [
        t("json.tokens", tokens=units.count(answer.usage.completion_tokens)),
        _seconds(answer.usage.seconds, t),
    ]
    if answer.usage.tokens_per_second > 0:
        said.append(t("chat.rate", rate=f"{answer.usage.tokens_per_second:.1f}"))
    if answer.ended == "length":
        said.append(t("compare.cut"))
    return " · ".join(said)


def difference_words(answer: Answer, t: Texts) -> str:
    """Where the answer leaves the first column's, counted from 1; that it does not."""
    if answer.equal:
        return t("compare.equal")
    found = answer.difference
    if found is None:
        return ""
    end = t("compare.the_end")
    return t(
        "compare.differs",
        token=units.count(found.token + 1),
        text=_quoted(found.text, t) if found.text else end,
        reference=_quoted(found.reference, t) if found.reference else end,
    )


def _quoted(text: str, t: Texts) -> str:
    """A token; white space in it by name, as it would not be seen."""
    if "\ufffd" in text:  # tokens are bytes: one may end within a character
        return t("compare.part_of_character")
    shown = text.replace("\n", "⏎").replace("\t", "⇥")
    return t("compare.quoted", text=shown.replace(" ", "␣") if not shown.strip() else shown)


def _seconds(value: float, t: Texts) -> str:
    return t("json.seconds", seconds=units.seconds(value))
