"""The JSON tab as HTML, and its words: the frame, the list of runs, how a run stands.

Only makes text and values from values. What a model or a person wrote goes into no HTML but the
list's titles, which are escaped; assets/jsontree.js shows answers as text.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from qwen_webui.errors import WebUIError
from qwen_webui.store import JsonRun, JsonRunEntry
from qwen_webui.structured import Problem
from qwen_webui.types import Usage
from qwen_webui.ui import units
from qwen_webui.ui.answering import RunningAnswer
from qwen_webui.ui.json_runs import End
from qwen_webui.ui.json_table import rows_of
from qwen_webui.ui.markup import escape
from qwen_webui.ui.messages import wait_text
from qwen_webui.ui.reading_words import account
from qwen_webui.ui.texts import Texts
from qwen_webui.ui.views import age

# What JavaScript holds of an answer, a problem or a run: JSON, made here and sent at once.
Json = dict[str, Any]
_LINES = {"valid": "json.valid", "stopped": "json.stopped", "failed": "json.failed"}
_STATES = {
    "valid": "json.state_valid",
    "stopped": "json.state_stopped",
    "failed": "json.state_failed",
}


def error_words(error: WebUIError, t: Texts) -> Json:
    """An error in the reader's language, and in its own words where they say more."""
    meaning = t.error(error.code)
    detail = "" if error.code in ("internal_error", "bad_length") else error.message
    if error.code.startswith("empty_"):
        detail = ""
    return {"text": meaning or t("errors.title"), "detail": detail if detail != meaning else ""}


def problem_words(problem: Problem, schema: str, t: Texts) -> Json:
    """One line under the editor; `line` (from 1) is known where the text is no JSON at all."""
    return {
        "place": problem.place,
        # In English the sentence says it all.
        "kind": "" if t.language == "en" else t.error(problem.code),
        "sentence": problem.sentence,
        "line": _bad_line(schema) if problem.place == "#" else 0,
    }


def waiting(running: RunningAnswer, t: Texts) -> Json:
    """What the first word waits for."""
    text, share = wait_text(running.waits_for, t)
    told = running.answer.sources
    return {"wait": text, "share": share, "account": account(told, t) if told else []}


def end_of(end: End, t: Texts) -> Json:
    """How a run stands that has just ended."""
    answer = end.answer
    if end.kept is not None:
        told = stands(end.kept, t)
    else:
        told = {"state": "stopped", "line": t("json.stopped_early"), "facts": [], "id": ""}
        # Not what was planned to be read, which the page has shown meanwhile.
        sources = answer.sources
        told["account"] = account(sources, t) if sources is not None and sources.calls else []
    if answer.error is not None:
        words = error_words(answer.error, t)
        told |= {"state": "failed", "line": words["text"], "detail": words["detail"]}
    elif end.failure is not None:
        told = {
            "state": "valid" if answer.reason else "stopped",
            "line": t("json.valid" if answer.reason else "json.stopped"),
            "detail": error_words(end.failure, t)["text"],
            "facts": facts(answer.usage, answer.model, t),
            "id": "",
        }
    return told


def stands(run: JsonRun, t: Texts) -> Json:
    """How a kept run stands: its line, its facts, and what can be downloaded."""
    line = t(_LINES[run.outcome])
    if run.outcome == "failed" and t.error(run.error):
        line = t.error(run.error)
    closed = ""
    if run.closed:
        closed = t("json.closed", tokens=units.count(run.max_new_tokens or _written(run.usage)))
    return {
        "id": run.id,
        "state": run.outcome,
        "line": line,
        "detail": closed,
        "facts": facts(run.usage, run.model, t),
        "csv": run.outcome == "valid" and rows_of(run.answer) is not None,
        "account": account(run.sources, t) if run.sources is not None else [],
    }


def whole_run(run: JsonRun, t: Texts) -> Json:
    """A run to be shown again."""
    return {
        **stands(run, t),
        "prompt": run.prompt,
        "schema": run.schema,
        "max_new_tokens": run.max_new_tokens,
        "answer": run.answer,
        "documents": [document.id for document in run.sources.documents] if run.sources else [],
    }


def facts(usage: Usage | None, model: str | None, t: Texts) -> list[str]:
    """Tokens, seconds, speed and model, as far as they are known."""
    said = []
    if usage is not None:
        said.append(t("json.tokens", tokens=units.count(usage.completion_tokens)))
        said.append(t("json.seconds", seconds=units.seconds(usage.seconds)))
        if usage.tokens_per_second > 0:
            said.append(t("chat.rate", rate=f"{usage.tokens_per_second:.1f}"))
    return [*said, model] if model else said


def run_list(entries: Sequence[JsonRunEntry], current: str, t: Texts, now: dt.datetime) -> str:
    """The side column's list, newest first, under headings of time."""
    if not entries:
        return f'<p class="qw-none">{escape(t("json.no_runs"))}</p>'
    parts, heading = [], ""
    for entry in entries:
        when = age(entry.created, now, t)
        if when != heading:
            parts.append(("</ul>" if heading else "") + f"<h2>{escape(when)}</h2><ul>")
            heading = when
        parts.append(_entry(entry, entry.id == current, t))
    return f"{''.join(parts)}</ul>"


def _entry(entry: JsonRunEntry, current: bool, t: Texts) -> str:
    title = escape(entry.title or t("json.untitled"))
    state = escape(t(_STATES[entry.outcome]))
    here = ' aria-current="page"' if current else ""
    return (
        f"<li{' class=qw-here' if current else ''}>"
        f'<a href="?tab=json&amp;run={entry.id}" data-run="{entry.id}" title="{title}"{here}>'
        f'<i class="qw-dot qw-{entry.outcome}" role="img" aria-label="{state}" title="{state}"></i>'
        f"<span>{title}</span></a>"
        f'<button type="button" class="qw-icon qw-icon-delete" data-delete-run="{entry.id}" '
        f'data-title="{title}" title="{escape(t("side.delete"))}" '
        f'aria-label="{escape(t("json.delete_named", title=entry.title))}"></button></li>'
    )


def _bad_line(schema: str) -> int:
    try:
        json.loads(schema)
    except json.JSONDecodeError as error:
        return error.lineno
    except (ValueError, RecursionError):
        return 0
    return 0


def _written(usage: Usage | None) -> int:
    return usage.completion_tokens if usage is not None else 0
