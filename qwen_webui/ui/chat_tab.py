"""The chat: its components, and one handler for each thing that can be done with it.

Handlers read the store, never what the browser says was said.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from qwen_webui.errors import InvalidRequest
from qwen_webui.store import Conversation, StoredMessage
from qwen_webui.types import ChatTurn, Sampling
from qwen_webui.ui import views
from qwen_webui.ui.desk import Desk, Frame, Visit, noticed, refuse_too_long, role_of, role_record
from qwen_webui.ui.form import Role, document_ids, history, read_sampling
from qwen_webui.ui.messages import chat_value
from qwen_webui.ui.parts import ChatParts, frame_piece, hidden_event, hidden_value
from qwen_webui.ui.reply import reply
from qwen_webui.ui.sampling_panel import read_base

LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]


def build_chat(i18n: gr.I18n) -> ChatParts:
    """The messages, the box below them, and the line under the box."""
    chat = gr.Chatbot(
        elem_id="qw-chat",
        show_label=False,
        container=False,
        height=None,
        buttons=[],
        layout="bubble",
        latex_delimiters=LATEX,
        feedback_options=None,
        group_consecutive_messages=True,
        allow_tags=False,
        sanitize_html=True,
    )
    with gr.Column(elem_id="qw-composer"):
        banner = gr.Markdown(visible=False, sanitize_html=False, latex_delimiters=[])
        frame_piece(i18n("frame.documents"), "qw-attached")
        with gr.Row(elem_id="qw-box"):
            frame_piece(i18n("frame.attach"), "qw-attach")
            text = gr.Textbox(
                elem_id="qw-text",
                lines=1,
                max_lines=10,
                label=i18n("chat.placeholder"),
                show_label=False,
                container=False,
                placeholder=i18n("chat.placeholder"),
                autofocus=True,
            )
            send = gr.Button(i18n("chat.send"), elem_id="qw-send", variant="primary")
            stop = gr.Button(i18n("chat.stop"), elem_id="qw-stop", visible=False)
        meter = gr.Markdown(elem_id="qw-under", sanitize_html=False, latex_delimiters=[])
    return ChatParts(
        chat=chat,
        banner=banner,
        text=text,
        send=send,
        stop=stop,
        meter=meter,
        conversation=hidden_value(),
        editing=hidden_event("editing"),
        regenerate=hidden_event("regenerate"),
        edit=hidden_event("edit"),
        edit_cancel=hidden_event("edit-cancel"),
        example=hidden_event("example"),
        clear=hidden_event("clear"),
        documents=hidden_event("documents"),
        adopt=hidden_event("adopt"),
    )


@dataclass(frozen=True)
class Form:
    """The fields beside the message, as the browser sent them: in FORM order."""

    conversation: str
    role: Role
    sampling: Sampling
    documents: tuple[str, ...] = ()


class ChatHandlers:
    """Each method is the handler of one event."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._parts = desk.parts.chat

    async def send(
        self, text: str, editing: str, request: gr.Request, *form: Any
    ) -> AsyncGenerator[Frame, None]:
        """Store the message and answer it; an edit first drops what it replaces."""
        visit = self._desk.visit(request)
        if not self._may_begin(visit, text):
            yield self._desk.unchanged
            return
        with noticed(visit.t):
            fields = self._read(form)
            await refuse_too_long(self._desk, visit, fields.role, text)
            conversation = await self._conversation(visit, fields)
            keep = _place(editing, conversation) if editing else None
            asked = await self._ask(visit, conversation, text, fields.role, keep)
            turn = self._turn(visit, asked, fields)
        async for frame in reply(self._desk, visit, asked, fields.role, turn, fields.documents):
            yield frame

    async def example(
        self, at: str, request: gr.Request, *form: Any
    ) -> AsyncGenerator[Frame, None]:
        """Send one of the role's examples."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            persona = self._read(form).role.describe(self._desk.services.personas)
            examples = persona.examples[visit.t.language] if persona else ()
            text = dict(zip(map(str, range(len(examples))), examples, strict=True)).get(at, "")
        async for frame in self.send(text, "", request, *form):
            yield frame

    async def regenerate(
        self, at: str, request: gr.Request, *form: Any
    ) -> AsyncGenerator[Frame, None]:
        """Answer the question at or before `at` again; what came after it goes."""
        visit = self._desk.visit(request)
        if not self._may_begin(visit, "again"):
            yield self._desk.unchanged
            return
        store = self._desk.services.store
        with noticed(visit.t):
            fields = self._read(form)
            conversation = await store.get(visit.owner, fields.conversation)
            place = _question(at, conversation)
            _check_documents(conversation, place, fields.documents)
            text = conversation.messages[place].content
            asked = await self._ask(visit, conversation, text, fields.role, place)
            turn = self._turn(visit, asked, fields)
        async for frame in reply(self._desk, visit, asked, fields.role, turn, fields.documents):
            yield frame

    async def edit(self, at: str, conversation: str, request: gr.Request) -> Frame:
        """Put an earlier message into the box."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            found = await self._desk.services.store.get(visit.owner, conversation)
            place = _place(at, found)
        return {
            self._parts.text: found.messages[place].content,
            self._parts.editing: str(place),
            self._parts.banner: gr.update(value=views.banner(visit.t), visible=True),
        }

    async def edit_cancel(self, request: gr.Request) -> Frame:
        """Leave the conversation as it is; the page has emptied the boxes at once."""
        return {self._parts.banner: gr.update(visible=False)}

    async def stop(self, request: gr.Request) -> None:
        """End this tab's answer; its own handler shows and stores what had arrived."""
        self._desk.answers.stop(request.session_hash)

    async def left(self, request: gr.Request) -> None:
        """The tab was closed or reloaded."""
        self._desk.answers.stop(request.session_hash)

    async def clear(self, conversation: str, request: gr.Request) -> Frame:
        """Delete every message of the conversation; the page asked before."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            if not conversation:
                return self._desk.unchanged
            await self._desk.answers.leave(visit.session)
            await self._desk.services.store.replace_tail(visit.owner, conversation, 0)
            found = await self._desk.services.store.get(visit.owner, conversation)
            role = role_of(found, self._desk)
            return {
                self._parts.chat: chat_value((), visit.t),
                **await self._desk.meter_frame(visit, role, ()),
                **await self._desk.list_frame(visit, conversation),
            }

    async def measure(
        self, text: str, conversation: str, persona: str, system: str, request: gr.Request
    ) -> Frame:
        """The meter while someone types or changes the role."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            role = Role.read(self._desk.services.personas, persona, system)
            said = await self._desk.said(visit, conversation)
            return await self._desk.meter_frame(visit, role, said, text)

    def _may_begin(self, visit: Visit, text: object) -> bool:
        """Whether there is a text and no other answer of this tab; says why not."""
        if not isinstance(text, str) or not text.strip():
            return False
        if self._desk.answers.is_running(visit.session):
            gr.Warning(visit.t("chat.still_writing"), title=visit.t("page.notice"))
            return False
        return True

    def _read(self, form: Sequence[Any]) -> Form:
        conversation, persona, system, base, *values, documents = form
        role = Role.read(self._desk.services.personas, persona, system)
        sampling = read_sampling(tuple(values), read_base(base))
        place = conversation if isinstance(conversation, str) else ""
        asked = documents.split(",") if isinstance(documents, str) and documents else []
        return Form(place, role, sampling, document_ids(asked))

    async def _conversation(self, visit: Visit, fields: Form) -> Conversation:
        store = self._desk.services.store
        if fields.conversation:
            return await store.get(visit.owner, fields.conversation)
        return await store.create(visit.owner, persona=fields.role.persona)

    def _turn(self, visit: Visit, asked: Conversation, fields: Form) -> ChatTurn:
        """The conversation's last message, to be answered."""
        return ChatTurn(
            text=asked.messages[-1].content,
            history=history(asked, -1),
            persona=fields.role.persona,
            system=fields.role.system,
            language=visit.t.language,
            sampling=fields.sampling,
        )

    async def _ask(
        self, visit: Visit, conversation: Conversation, text: str, role: Role, keep: int | None
    ) -> Conversation:
        """The conversation with the question in it, stored."""
        store, before = self._desk.services.store, conversation.messages[:keep]
        known = replace(conversation, messages=before)
        fresh = [StoredMessage("user", text, persona=role.persona)]
        if role_of(known, self._desk) != role:
            fresh.insert(0, role_record(role, self._desk, visit))
        if keep is None:
            await store.append(visit.owner, conversation.id, fresh)
        else:
            await store.replace_tail(visit.owner, conversation.id, keep, fresh)
        return replace(conversation, messages=(*before, *fresh))


def _place(at: str, conversation: Conversation) -> int:
    """The place of a question. Raises InvalidRequest when there is none."""
    place = int(at) if at.isascii() and at.isdigit() and len(at) < 9 else len(conversation.messages)
    if place < len(conversation.messages) and conversation.messages[place].role == "user":
        return place
    raise InvalidRequest("There is no such message to edit. Reload the page.", param="message")


def _question(at: str, conversation: Conversation) -> int:
    """The last question at or before `at`."""
    start = int(at) if at.isascii() and at.isdigit() and len(at) < 9 else -1
    for place in range(min(start, len(conversation.messages) - 1), -1, -1):
        if conversation.messages[place].role == "user":
            return place
    raise InvalidRequest("There is no message to answer. Reload the page.", param="message")


def _check_documents(conversation: Conversation, place: int, documents: Sequence[str]) -> None:
    """Raise InvalidRequest where an answer about documents would be replaced by one without."""
    answer = conversation.messages[place + 1 : place + 2]
    if answer and answer[0].sources is not None and not documents:
        raise InvalidRequest(
            "This was a question about documents. Tick or attach them and try again.",
            code="documents_missing",
            param="documents",
        )
