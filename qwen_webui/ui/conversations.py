"""The sidebar: conversations found, opened, begun, renamed and deleted.

Exports are plain downloads, see routes.py.
"""

from __future__ import annotations

import gradio as gr

from qwen_webui.errors import NotFound
from qwen_webui.store import Conversation
from qwen_webui.ui.desk import Desk, Frame, Visit, noticed, role_of
from qwen_webui.ui.form import Role, history
from qwen_webui.ui.messages import chat_value
from qwen_webui.ui.parts import SidebarParts, hidden_event
from qwen_webui.ui.sampling_panel import moved_frame


def build_sidebar(i18n: gr.I18n) -> SidebarParts:
    """New, search, and the list."""
    new = gr.Button(i18n("side.new"), elem_id="qw-new")
    search = gr.Textbox(
        elem_id="qw-search",
        label=i18n("side.search"),
        show_label=False,
        container=False,
        placeholder=i18n("side.search"),
        max_lines=1,
        type="text",
    )
    entries = gr.Markdown(elem_id="qw-conversations", sanitize_html=False, latex_delimiters=[])
    return SidebarParts(
        new=new,
        search=search,
        list=entries,
        open=hidden_event("open"),
        rename=hidden_event("rename"),
        delete=hidden_event("delete"),
    )


class SidebarHandlers:
    """Each method is the handler of one event."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def load_page(self, base: str, request: gr.Request, *sliders: float) -> Frame:
        """Everything a visitor sees first; the conversation is the one in the address."""
        visit = self._desk.visit(request)
        wanted = str(dict(request.query_params).get("c", ""))
        try:
            frame = await self._show(visit, wanted)
        except NotFound:
            gr.Warning(visit.t("chat.gone"), title=visit.t("page.notice"))
            frame = await self._blank(visit)
        role = await self._role(visit, wanted)
        return {**frame, **moved_frame(self._desk, visit, role, base, sliders)}

    async def open(self, wanted: str, base: str, request: gr.Request, *sliders: float) -> Frame:
        """Show one conversation; an empty id shows a blank page."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            frame = await self._show(visit, wanted)
            role = await self._role(visit, wanted)
        return {**frame, **moved_frame(self._desk, visit, role, base, sliders)}

    async def adopt(self, id: str, query: str, request: gr.Request) -> Frame:
        """The blank page becomes the conversation that an upload began: what stands in its fields
        stays."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            found = await self._desk.services.store.get(visit.owner, id)
            listed = await self._desk.list_frame(visit, found.id, query)
        return {**listed, self._desk.parts.chat.conversation: found.id}

    async def new(self, request: gr.Request) -> Frame:
        """A blank page; the first message makes a conversation of it. The box was emptied by the
        page at once, and may hold new words by now."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            return await self._blank(visit)

    async def search(self, query: str, conversation: str, request: gr.Request) -> Frame:
        """The list, narrowed."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            return await self._desk.list_frame(visit, conversation, str(query)[:200])

    async def rename(self, order: str, conversation: str, query: str, request: gr.Request) -> Frame:
        """`order` is an id, a space and the new title."""
        visit = self._desk.visit(request)
        id, _, title = order.partition(" ")
        with noticed(visit.t):
            await self._desk.services.store.rename(visit.owner, id, title)
            return await self._desk.list_frame(visit, conversation, query)

    async def delete(self, id: str, conversation: str, query: str, request: gr.Request) -> Frame:
        """Delete one conversation; the page asked before."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            if id == conversation:
                await self._desk.answers.leave(visit.session)
            await self._desk.services.store.delete(visit.owner, id)
            if id == conversation:
                return await self._blank(visit, query)
            return await self._desk.list_frame(visit, conversation, query)

    async def _role(self, visit: Visit, wanted: str) -> Role:
        try:
            found = await self._desk.services.store.get(visit.owner, wanted)
        except NotFound:
            return self._desk.first_role()
        return role_of(found, self._desk)

    async def _show(self, visit: Visit, wanted: str) -> Frame:
        if not wanted:
            return await self._blank(visit)
        # The answer that this tab still writes belongs to the conversation that is left.
        await self._desk.answers.leave(visit.session)
        found = await self._desk.services.store.get(visit.owner, wanted)
        return await self._page(visit, found, role_of(found, self._desk), "")

    async def _blank(self, visit: Visit, query: str = "") -> Frame:
        await self._desk.answers.leave(visit.session)
        blank = Conversation("", "", None, 0.0, 0.0)
        return await self._page(visit, blank, self._desk.first_role(), query)

    async def _page(
        self, visit: Visit, conversation: Conversation, role: Role, query: str
    ) -> Frame:
        chat = self._desk.parts.chat
        shown = dict(self._desk.role_frame(visit, role))
        welcome = shown.pop(chat.chat)["placeholder"]
        value = chat_value(conversation.messages, visit.t)
        return {
            **shown,
            **await self._desk.meter_frame(visit, role, history(conversation)),
            **await self._desk.list_frame(visit, conversation.id, query),
            chat.chat: gr.update(value=value, placeholder=welcome),
            chat.conversation: conversation.id,
            chat.editing: "",
            chat.banner: gr.update(visible=False),
        }
