"""A comparison as JSON, CSV and Markdown text: for people and programs elsewhere, without its
owner. Reads nothing and writes nothing.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

from qwen_webui.comparison.values import Answer, Column, Comparison

_FIGURES = ("load_seconds", "weights_bytes", "cache_bytes", "peak_bytes", "tokens_per_second",
            "first_token_seconds")  # fmt: skip
_HEAD = ("prompt", "title", "checkpoint", "precision", "text", "equal", "differs_at_token",
         "prompt_tokens", "completion_tokens", "seconds_to_first_token", "tokens_per_second",
         "ended", "error", "kernel", "device", *_FIGURES[:4])  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(comparison: Comparison) -> str:
    """Everything of it."""
    value = dataclasses.asdict(comparison)
    del value["owner"]
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def as_csv(comparison: Comparison) -> str:
    """A row an answer, with its column's figures. A text that a spreadsheet would take for a
    formula is marked with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_HEAD)
    for column in comparison.columns:
        pairs = zip(comparison.wanted.prompts, column.answers, strict=True)
        for number, (prompt, answer) in enumerate(pairs, start=1):
            writer.writerow(map(_cell, (number, prompt.title, *_row(column, answer))))
    return file.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """A table of the figures, then every prompt with its answers."""
    lines = [
        f"# Comparison of {comparison.created}",
        "",
        f"State: {comparison.state}. {comparison.error or ''}".rstrip(),
        f"Hardware: {comparison.hardware or 'not measured'}. "
        + ", ".join(f"{name} {version}" for name, version in comparison.versions),
        "",
        "| checkpoint | precision | kernel | load, s | weights, GiB | cache, GiB | peak, GiB "
        "| first token, s | tokens/s |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(_figures, comparison.columns),
    ]
    for number, prompt in enumerate(comparison.wanted.prompts):
        lines += ["", f"## Prompt {number + 1}", ""]
        for message in prompt.messages:
            lines += [f"**{message.role}**", "", *_fenced(message.content), ""]
        for column in comparison.columns:
            answer = column.answers[number]
            lines += [f"### {_plain(column.title)}", "", _verdict(column, answer), ""]
            lines += _fenced(answer.text)
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(column: Column, answer: Answer) -> tuple[object, ...]:
    usage, difference = answer.usage, answer.difference
    return (
        column.checkpoint,
        column.precision,
        answer.text,
        answer.equal,
        difference.token if difference else None,
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
        usage.seconds_to_first_token if usage else None,
        usage.tokens_per_second if usage else None,
        answer.ended,
        answer.error or column.error,
        column.kernel,
        column.device_name,
        *(getattr(column, name) for name in _FIGURES[:4]),
    )


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _figures(column: Column) -> str:
    sizes = (column.weights_bytes, column.cache_bytes, column.peak_bytes)
    cells = (
        _plain(column.title),
        column.precision,
        _plain(column.kernel) or "-",
        _number(column.load_seconds),
        *(_number(None if size is None else size / 2**30) for size in sizes),
        _number(column.first_token_seconds),
        _number(column.tokens_per_second),
    )
    return f"| {' | '.join(cells)} |"


def _verdict(column: Column, answer: Answer) -> str:
    if (error := answer.error or column.error) is not None:
        return f"Failed: {_plain(error)}"
    if answer.usage is None:
        return "Not finished."
    if answer.equal:
        return "Equal to the first answer."
    if answer.difference is None:
        return f"{answer.usage.completion_tokens} tokens."
    parts = answer.difference
    return (
        f"Differs from token {parts.token} on: {json.dumps(parts.text, ensure_ascii=False)} "
        f"instead of {json.dumps(parts.reference, ensure_ascii=False)}."
    )


def _fenced(text: str) -> list[str]:
    """As a code block whose fence is longer than any inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
