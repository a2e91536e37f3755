"""A conversation as the chat component shows it: words, and under them a line of facts and actions.

Actions are links like `#qw-edit-3` (3 is the message's place in the store), which assets/chat.js
turns into events: the component's sanitiser lets links through and nothing else that acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwen_webui.chat.documents import INDEXING
from qwen_webui.store import StoredMessage
from qwen_webui.types import ModelStatus, Progress, Queued, Sources, Usage
from qwen_webui.ui import markup, units
from qwen_webui.ui.answering import Answer
from qwen_webui.ui.citations import above, answered, below, writing
from qwen_webui.ui.texts import Texts

ChatMessage = Mapping[str, Any]


def chat_value(
    messages: Sequence[StoredMessage], t: Texts, *, answering: bool = False
) -> list[ChatMessage]:
    """All that was said; records of system messages are not shown as messages. While an answer is
    on the way nothing offers to begin another."""
    shown = [(at, m) for at, m in enumerate(messages) if m.role in ("user", "assistant")]
    last = shown[-1][0] if shown and not answering else -1
    return [
        _asked(m, at, at == last, t) if m.role == "user" else _answered(m, at, at == last, t)
        for at, m in shown
    ]


def live_message(
    answer: Answer, waits_for: Queued | Progress | ModelStatus | None, at: int, t: Texts
) -> ChatMessage:
    """The answer while it is being written; `at` is the place it will have in the store."""
    if answer.text:
        blocks = [markup.answer(answer.text) if answer.sources is None else writing(answer.text)]
    else:
        blocks = [] if answer.done else [_waiting(waits_for, answer.sources, t)]
    if answer.sources is not None and blocks:
        blocks.insert(0, above(answer.sources, 0, None, t))
    return with_notes(_message("assistant", blocks), answer, at, t)


def with_notes(message: ChatMessage, answer: Answer, at: int, t: Texts) -> ChatMessage:
    """The message with what was left out said above it and what went wrong below."""
    above, below = [], []
    if answer.left_out is not None:
        out = answer.left_out
        key = "chat.left_out_one" if out.turns == 1 else "chat.left_out"
        note = t(key, turns=out.turns, tokens=units.count(out.tokens))
        above.append(f'<div class="qw-note">{markup.escape(note)}</div>')
    if answer.error is not None:
        below.append(error_notice(answer.error.code, answer.error.message, at, t))
    content = [*_blocks(above), *message["content"], *_blocks(below)]
    return {**message, "content": content}


def error_notice(code: str, message: str, at: int, t: Texts) -> str:
    """What went wrong, in the reader's language and in the error's own words, and a way on."""
    meaning = t.error(code)
    detail = "" if code == "internal_error" or meaning == message else message
    return (
        f'<div class="qw-error"><b>{markup.escape(t("errors.answer_title"))}</b>'
        + (f"<span>{markup.escape(meaning)}</span>" if meaning else "")
        + (f'<small lang="en">{markup.escape(detail)}</small>' if detail else "")
        + _action("retry", at - 1, t("chat.retry"), shown=True)
        + "</div>"
    )


def facts(usage: Usage | None, name: str | None, stopped: bool, length: bool, t: Texts) -> str:
    """The line under an answer: speed, first token, counts, model; one span each."""
    parts = []
    if usage is not None:
        if usage.tokens_per_second > 0:
            parts.append((t("chat.rate", rate=f"{usage.tokens_per_second:.1f}"), ""))
        first = units.seconds(usage.seconds_to_first_token)
        parts.append((t("chat.first", seconds=first), ""))
        counts = {
            "prompt": units.count(usage.prompt_tokens),
            "completion": units.count(usage.completion_tokens),
        }
        whole = t(
            "chat.counts_title",
            cached=units.count(usage.cached_tokens),
            seconds=units.seconds(usage.seconds),
            **counts,
        )
        # Of an answer that was cut between calls nobody knows what was read.
        key = "chat.counts" if usage.prompt_tokens else "chat.counts_written"
        parts.append((t(key, **counts), whole if usage.prompt_tokens else ""))
    if name:
        parts.append((name, ""))
    if stopped:
        parts.append((t("chat.stopped"), ""))
    elif length:
        parts.append((t("chat.cut"), ""))
    spans = (
        f'<span title="{markup.escape(title)}">{markup.escape(text)}</span>'
        if title
        else f"<span>{markup.escape(text)}</span>"
        for text, title in parts
    )
    return f'<span class="qw-facts">{"".join(spans)}</span>'


def _asked(message: StoredMessage, at: int, last: bool, t: Texts) -> ChatMessage:
    foot = _action("copy", at, t("chat.copy")) + _action("edit", at, t("chat.edit"))
    if last:
        foot = f"<span>{t('chat.unanswered')}</span>" + foot
        foot += _action("retry", at, t("chat.retry"), shown=True)
    return _message("user", [markup.said(message.content), _foot(foot)])


def _answered(message: StoredMessage, at: int, last: bool, t: Texts) -> ChatMessage:
    # A checkpoint's name says its precision too, except for the unquantised one.
    name = message.model or ""
    if message.precision and message.precision not in name:
        name = f"{name} ({message.precision})" if name else message.precision
    foot = facts(message.usage, name, message.stopped, message.finish_reason == "length", t)
    if message.content:
        foot += _action("copy", at, t("chat.copy"))
    if last:
        foot += _action("regenerate", at, t("chat.regenerate"))
    # Without a word: the reading for it was stopped, and what was read is told.
    blocks = [answered(message, at, t)] if message.content else []
    blocks.append(_foot(foot))
    if message.sources is not None:
        tokens = message.usage.prompt_tokens if message.usage else 0
        blocks.insert(0, above(message.sources, tokens, at, t))
    if cited := below(message, at, t):
        blocks.insert(-1, cited)
    return _message("assistant", blocks)


def _message(role: str, blocks: Sequence[str]) -> ChatMessage:
    return {"role": role, "content": _blocks(blocks)}


def _blocks(texts: Sequence[str]) -> list[Mapping[str, str]]:
    # As dictionaries, because the component strips and shifts the lines of bare strings.
    return [{"type": "text", "text": text} for text in texts]


def _foot(inner: str) -> str:
    return f'<div class="qw-foot">{inner}</div>'


def _action(kind: str, at: int, label: str, *, shown: bool = False) -> str:
    """A link that acts; its label is read out, and shown when `shown`."""
    look = "qw-act-text" if shown else "qw-act-icon"
    name = markup.escape(label)
    return (
        f'<a class="qw-act qw-act-{kind} {look}" role="button" href="#qw-{kind}-{at}" '
        f'title="{name}"><span>{name}</span></a>'
    )


def _waiting(
    waits_for: Queued | Progress | ModelStatus | None, sources: Sources | None, t: Texts
) -> str:
    text, share = wait_text(waits_for, t)
    if isinstance(waits_for, Progress) and waits_for.unit == "calls" and sources is not None:
        text = _step_text(waits_for, sources, t)
    bar = (
        f'<progress max="100" value="{share}" title="{markup.escape(text)}"></progress>'
        if share is not None
        else ""
    )
    return f'<div class="qw-wait"><span>{markup.escape(text)}</span>{bar}</div>'


def _step_text(progress: Progress, sources: Sources, t: Texts) -> str:
    """Which of the calls of an answer is being made."""
    parts = sum(call.step == "read" for call in sources.calls)
    if progress.done < parts:
        done, total = units.count(progress.done + 1), units.count(parts)
        return t("reading.part_of", done=done, total=total)
    last = progress.done >= progress.total - 1
    return t("reading.answering") if last else t("reading.combining")


def wait_text(
    waits_for: Queued | Progress | ModelStatus | None, t: Texts
) -> tuple[str, int | None]:
    """What the answer waits for, and how much of that is done in percent."""
    if isinstance(waits_for, Queued) and waits_for.why:
        return t("chat.queued_comparison", place=waits_for.place), None
    if isinstance(waits_for, ModelStatus) and waits_for.held_for:
        return t("chat.waiting_comparison"), None
    if isinstance(waits_for, Queued):
        return t("chat.queued", place=waits_for.place), None
    if isinstance(waits_for, ModelStatus):
        name = waits_for.target or waits_for.name or ""
        progress = waits_for.progress
        if progress is None or not progress.total:
            return t("chat.waiting_model", name=name), None
        done = units.amount(progress.done, progress.unit)
        total = units.amount(progress.total, progress.unit)
        text = t("chat.waiting_model_of", name=name, done=done, total=total)
        return text, percent(progress)
    if isinstance(waits_for, Progress) and waits_for.stage == INDEXING:
        return t("documents.indexing"), None
    if isinstance(waits_for, Progress) and waits_for.unit == "calls":
        done, total = units.count(waits_for.done), units.count(waits_for.total)
        return t("documents.reading_calls", done=done, total=total), percent(waits_for)
    if isinstance(waits_for, Progress) and waits_for.total and waits_for.done:
        done, total = units.count(waits_for.done), units.count(waits_for.total)
        return t("chat.reading_of", done=done, total=total), percent(waits_for)
    if isinstance(waits_for, Progress):
        return t("chat.reading"), None
    return t("chat.starting"), None


def percent(progress: Progress) -> int:
    """How much is done, 0 to 100."""
    return min(100, 100 * progress.done // progress.total) if progress.total else 0
