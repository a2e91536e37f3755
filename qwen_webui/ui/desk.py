"""What every handler of the page works with, and the few things that all of them do.

One `Visit` a call says who asks and in which language. Knows the services and the components; has
no handler of its own.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr

from qwen_webui.chat import ContextUse
from qwen_webui.errors import InvalidRequest, ModelNotReady, WebUIError
from qwen_webui.services import Services
from qwen_webui.store import Conversation, StoredMessage
from qwen_webui.types import ChatTurn, Message, Sampling
from qwen_webui.ui import units, views
from qwen_webui.ui.answering import Answers
from qwen_webui.ui.form import CUSTOM, Role, history
from qwen_webui.ui.parts import Parts
from qwen_webui.ui.texts import AllTexts, Texts
from qwen_webui.ui.visitor import language_of, owner_of

# What a handler gives back: new values or updates by component; what is not in it stays.
Frame = Mapping[Any, Any]


@dataclass(frozen=True)
class Visit:
    """Who asks: owner of conversations, tab, language."""

    owner: str
    session: str
    t: Texts


@dataclass(frozen=True)
class Desk:
    """The services and the page. `unread` counts the updates that a tab was sent and has not
    fetched."""

    services: Services
    texts: AllTexts
    answers: Answers
    parts: Parts
    unread: Callable[[str], int]

    @property
    def unchanged(self) -> Frame:
        """A frame that changes nothing; an empty one is a mistake to Gradio."""
        return {self.parts.chat.meter: gr.skip()}

    def visit(self, request: gr.Request) -> Visit:
        """Read the request. Raises gr.Error, shown as a notice, when there is no owner."""
        t = self.texts[language_of(request)]
        with noticed(t):
            return Visit(owner_of(request), request.session_hash or secrets.token_hex(), t)

    async def list_frame(self, visit: Visit, current: str, query: str = "") -> Frame:
        """The sidebar as it is now."""
        entries = await self.services.store.list(visit.owner, query)
        now = dt.datetime.now().astimezone()
        page = views.conversation_list(entries, current, query, visit.t, now)
        return {self.parts.sidebar.list: page}

    async def context_use(self, turn: ChatTurn) -> ContextUse | None:
        """What the next turn takes of the context; None while no model is there to count."""
        try:
            return await asyncio.to_thread(self.services.assistant.context_use, turn)
        except ModelNotReady:
            return None

    async def said(self, visit: Visit, conversation: str) -> tuple[Message, ...]:
        """The history of one conversation; of none, when the page is blank."""
        if not conversation:
            return ()
        return history(await self.services.store.get(visit.owner, conversation))

    async def meter_frame(
        self, visit: Visit, role: Role, said: tuple[Message, ...], text: str = ""
    ) -> Frame:
        """The meter under the box and the cost of the system message."""
        t = visit.t
        turn = ChatTurn(text, said, role.persona, role.system, t.language)
        use = await self.context_use(turn)
        persona = role.describe(self.services.personas)
        name = persona.name[t.language] if persona else t("persona.custom")
        return {
            self.parts.chat.meter: views.meter(use, name, t, text=text),
            self.parts.persona.cost: views.cost_note(use, t),
        }

    def role_frame(self, visit: Visit, role: Role) -> Frame:
        """The selector, its note, the message in view, and the welcome of an empty chat."""
        t = visit.t
        persona = role.describe(self.services.personas)
        text = persona.system[t.language] if persona else role.system or ""
        return {
            self.parts.persona.persona: gr.update(
                value=role.persona or CUSTOM, choices=self.choices(t)
            ),
            self.parts.persona.note: views.persona_note(persona, t),
            self.parts.persona.system: text,
            self.parts.chat.chat: gr.update(placeholder=views.welcome(persona, t)),
        }

    def choices(self, t: Texts) -> list[tuple[str, str]]:
        """Every role by name, the user's own last."""
        named = [(p.name[t.language], p.id) for p in self.services.personas.all()]
        return [*named, (t("persona.custom"), CUSTOM)]

    def first_role(self) -> Role:
        """Who answers a new conversation."""
        every = self.services.personas.all()
        return Role(every[0].id, None) if every else Role(None, "")

    def defaults(self, role: Role) -> Sampling | None:
        """What counts where nothing is set: the role's values over the model's."""
        info = self.services.manager.status().info
        if info is None:
            return None
        persona = role.describe(self.services.personas)
        own = persona.sampling if persona else Sampling()
        return own.over(Sampling()).over(_without_length(info.defaults))


async def refuse_too_long(desk: Desk, visit: Visit, role: Role, text: str) -> None:
    """Raise InvalidRequest when the text alone is more than the context can take: before anything
    is stored, so that it stays in the box."""
    turn = ChatTurn(text, (), role.persona, role.system, visit.t.language)
    use = await desk.context_use(turn)
    if use is not None and views.is_too_long(use):
        used, available = units.count(use.used), units.count(use.available)
        sentence = visit.t("documents.long_sent", used=used, available=available)
        raise InvalidRequest(sentence, code="long_text", param="text")


def role_of(conversation: Conversation, desk: Desk) -> Role:
    """Who answered last: the newest record of a system message, else how it began."""
    record = next((m for m in reversed(conversation.messages) if m.role == "system"), None)
    if record is not None and record.persona is None:
        return Role(None, record.content)
    persona = record.persona if record is not None else conversation.persona
    known = {p.id for p in desk.services.personas.all()}
    return Role(persona, None) if persona in known else desk.first_role()


def role_record(role: Role, desk: Desk, visit: Visit) -> StoredMessage:
    """What the store keeps when the role changes, so that a reload finds it again."""
    persona = role.describe(desk.services.personas)
    content = persona.system[visit.t.language] if persona else role.system or ""
    return StoredMessage("system", content, persona=role.persona)


@contextmanager
def noticed(t: Texts) -> Iterator[None]:
    """Turn our errors into a notice in the reader's language."""
    try:
        yield
    except WebUIError as error:
        raise notice(error, t) from error


def notice(error: WebUIError, t: Texts) -> gr.Error:
    """An error as Gradio shows it, in a corner of the page."""
    if error.code == "bad_number":
        message = t("sampling.bad_number", name=t(f"sampling.{error.param}"))
    elif error.code in ("no_owner", "not_found", "internal_error", "admin_key_required"):
        message = t.error(error.code)
    elif t.language == "en":
        message = error.message
    else:
        message = f"{t.error(error.code)} {error.message}".strip()
    return gr.Error(message, title=t("errors.title"), duration=12, print_exception=False)


def _without_length(sampling: Sampling) -> Sampling:
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        repetition_penalty=sampling.repetition_penalty,
    )
