"""From a question in the store to an answer on the page and in the store.

Paces what the browser gets: the first word at once, then a few updates a second, because the
browser is what is slow. Whatever ends the answer, what had arrived is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import gradio as gr

from qwen_webui.errors import WebUIError
from qwen_webui.store import Conversation, StoredMessage
from qwen_webui.types import ChatTurn
from qwen_webui.ui.answering import Answer, Answerer, DocumentAnswerer, RunningAnswer
from qwen_webui.ui.desk import Desk, Frame, Visit, notice
from qwen_webui.ui.form import Role, history
from qwen_webui.ui.messages import ChatMessage, chat_value, live_message, with_notes

# Seconds between two updates; a long chat costs the browser more for each.
PAUSE = 1 / 13
PAUSE_LONG = 1 / 9
LONG_CHAT = 60  # messages
# Updates nobody fetches, ten seconds' worth: whoever asked is not there, or is far too slow.
MOST_UNREAD = 120
# How often a waiting line or a load is looked at again.
LOOK = 0.5


async def reply(
    desk: Desk,
    visit: Visit,
    conversation: Conversation,
    role: Role,
    turn: ChatTurn,
    documents: tuple[str, ...] = (),
) -> AsyncGenerator[Frame, None]:
    """Answer `turn`, whose text is the conversation's last message, from `documents` if there are
    any; frames for the page."""
    chat = desk.parts.chat
    running = desk.answers.begin(visit.session, turn, _answerer(desk, visit, documents))
    place = len(conversation.messages)
    try:
        said = chat_value(conversation.messages, visit.t, answering=True)
        yield {**_begin(desk, conversation), **await desk.list_frame(visit, conversation.id)}
        async for frame in _write(desk, visit, running, said, place):
            yield frame
    finally:
        await desk.answers.end(visit.session, running)
        failure = await _keep(desk, visit, conversation, role, running.answer)
    buttons = {chat.send: gr.update(visible=True), chat.stop: gr.update(visible=False)}
    if running.left:
        yield buttons
        return
    shown = await _finished(desk, visit, conversation, role, running.answer)
    yield {**shown, **await desk.list_frame(visit, conversation.id), **buttons}
    if failure is not None:
        raise notice(failure, visit.t)


def _answerer(desk: Desk, visit: Visit, documents: tuple[str, ...]) -> Answerer | None:
    if not documents:
        return None
    services = desk.services
    return DocumentAnswerer(services.analyst, services.assistant, visit.owner, documents)


async def _write(
    desk: Desk, visit: Visit, running: RunningAnswer, said: list[ChatMessage], place: int
) -> AsyncGenerator[Frame, None]:
    pause = PAUSE_LONG if place > LONG_CHAT else PAUSE
    seen, last = -1, None
    while not running.answer.done:
        seen = await running.news(seen, LOOK)
        message = live_message(running.answer, running.waits_for, place, visit.t)
        if message != last and not running.left:
            yield {desk.parts.chat.chat: [*said, message]}
            last = message
        if desk.unread(visit.session) > MOST_UNREAD:
            running.stop()
        await running.rest(pause)


def _begin(desk: Desk, conversation: Conversation) -> dict[Any, Any]:
    chat = desk.parts.chat
    return {
        chat.text: "",
        chat.conversation: conversation.id,
        chat.editing: "",
        chat.banner: gr.update(visible=False),
        chat.send: gr.update(visible=False),
        chat.stop: gr.update(visible=True),
    }


async def _keep(
    desk: Desk, visit: Visit, conversation: Conversation, role: Role, answer: Answer
) -> WebUIError | None:
    """Store what arrived. A failure is given back, for the words are on the page all the same."""
    if not answer.to_keep:
        return None
    message = StoredMessage(
        "assistant",
        answer.text,
        persona=role.persona,
        model=answer.model,
        precision=answer.precision,
        usage=answer.usage,
        stopped=answer.reason is None,
        finish_reason=answer.reason,
        sources=answer.sources,
        citations=answer.citations,
    )
    try:
        await asyncio.shield(desk.services.store.append(visit.owner, conversation.id, [message]))
    except WebUIError as error:
        return error
    return None


async def _finished(
    desk: Desk, visit: Visit, conversation: Conversation, role: Role, answer: Answer
) -> Frame:
    """The conversation as it is in the store, with notices of what the store does not hold."""
    try:
        stored = await desk.services.store.get(visit.owner, conversation.id)
    except WebUIError:
        return {}  # deleted meanwhile, in another tab, or not readable: what is shown stays
    place = len(conversation.messages)
    kept = len(stored.messages) > place
    value = chat_value(stored.messages, visit.t, answering=answer.error is not None and not kept)
    if kept:
        value[-1] = with_notes(value[-1], answer, place, visit.t)
    elif answer.error is not None:
        value.append(live_message(answer, None, place, visit.t))
    meter = await desk.meter_frame(visit, role, history(stored))
    return {desk.parts.chat.chat: value, **meter}
