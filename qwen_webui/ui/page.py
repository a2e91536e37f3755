"""Puts the page together: components in their places, events to their handlers, onto the API's app.

A new tab is one file with its components and handlers, and its lines here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from fastapi import FastAPI

from qwen_webui.services import Services
from qwen_webui.ui.answering import Answers
from qwen_webui.ui.chat_tab import ChatHandlers, build_chat
from qwen_webui.ui.citation_routes import citation_routes
from qwen_webui.ui.compare_frame import compare_main, compare_side
from qwen_webui.ui.compare_tab import build_compare, build_comparisons, compare_routes
from qwen_webui.ui.conversations import SidebarHandlers, build_sidebar
from qwen_webui.ui.desk import Desk
from qwen_webui.ui.document import TITLE, PageDocument
from qwen_webui.ui.event_errors import log_event_errors
from qwen_webui.ui.event_guard import EventGuard
from qwen_webui.ui.form import CUSTOM
from qwen_webui.ui.json_frame import json_main, json_side
from qwen_webui.ui.json_history import run_routes
from qwen_webui.ui.json_tab import answer_routes, build_json, build_runs, form_routes
from qwen_webui.ui.model_bar import ModelHandlers, build_model
from qwen_webui.ui.monitor_frame import monitor_main
from qwen_webui.ui.monitor_view import build_monitor, monitor_data_routes
from qwen_webui.ui.parts import Parts, frame_piece
from qwen_webui.ui.persona_panel import PersonaHandlers, build_persona
from qwen_webui.ui.routes import closed_routes, is_keyed, page_routes
from qwen_webui.ui.sampling_panel import SamplingHandlers, build_sampling
from qwen_webui.ui.shell import (
    attach_button,
    attached,
    brand,
    panel_head,
    side_foot,
    tabs,
    top_bar,
)
from qwen_webui.ui.texts import AllTexts
from qwen_webui.ui.theme import build_theme
from qwen_webui.ui.uploads import upload_routes

# Our own line (the manager's) is the one that waits; this one only keeps memory bounded.
QUEUE_FACTOR, QUEUE_SPARE = 4, 64
MOST_AT_ONCE = 32  # that an engine computes, where it decides how many
# Of each tab, Gradio keeps a copy of every component's settings (100 kB), closed or not; nothing
# here reads it. Its own bound is 10,000 tabs.
TABS_KEPT = 100


def build_page(services: Services, texts: AllTexts | None = None) -> gr.Blocks:
    """The page for `services`, not yet mounted anywhere."""
    texts = texts or AllTexts()
    i18n = translations(texts, keyed=is_keyed(services))
    demo: gr.Blocks
    # Files come by our own route (uploads.py), so Gradio keeps none that would have to be deleted.
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as demo:
        parts = _lay_out(services, texts, i18n)
        answers = Answers(services.assistant, services.manager)
        desk = Desk(services, texts, answers, parts, lambda session: unread(demo, session))
        _connect(demo, desk)
    settings = services.settings
    room = (settings.max_running or MOST_AT_ONCE) + settings.max_waiting
    demo.queue(
        max_size=QUEUE_FACTOR * room + QUEUE_SPARE, default_concurrency_limit=None, api_open=False
    )
    demo.state_session_capacity = TABS_KEPT
    # Gradio would sum up its records with pandas after each event.
    demo._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
    return demo


def unread(demo: gr.Blocks, session: str) -> int:
    """Updates that wait for the tab to fetch them; Gradio itself lets them grow without bound."""
    waiting = demo._queue.pending_messages_per_session.get(session)
    return waiting.qsize() if waiting is not None else 0


def tab_of(demo: gr.Blocks, event: str) -> str | None:
    """The tab that a waiting or running event belongs to."""
    found = demo._queue.event_ids_to_events.get(event)
    return found.session_hash if found is not None else None


def mount_page(api: FastAPI, services: Services) -> FastAPI:
    """Serve the page at "/" of `api`, beside its own routes."""
    texts = AllTexts()
    demo = build_page(services, texts)
    api.include_router(page_routes(services, texts))
    api.include_router(form_routes(services, texts))
    api.include_router(answer_routes(services, texts))
    api.include_router(run_routes(services, texts))
    api.include_router(citation_routes(services, texts))
    api.include_router(monitor_data_routes(services))
    api.include_router(compare_routes(services, texts))
    api.include_router(upload_routes(services, texts))
    api.include_router(closed_routes())
    gr.mount_gradio_app(
        api,
        demo,
        path="/",
        theme=build_theme(),
        i18n=translations(texts, keyed=is_keyed(services)),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
    )
    # Only a launched page checks the paths of files; mounting does not launch.
    demo.has_launched = True
    api.add_middleware(PageDocument, texts=texts)
    events = {number: len(handler.inputs) for number, handler in demo.fns.items()}
    api.add_middleware(EventGuard, events=events, tab_of=lambda event: tab_of(demo, event))
    log_event_errors()
    return api


def translations(texts: AllTexts, *, keyed: bool = False) -> gr.I18n:
    """Our texts as Gradio's, which the browser looks up; whole pieces of the frame too."""
    by_language = {}
    for language, tag in (("en", "en"), ("zh", "zh-CN")):
        t = texts["zh" if language == "zh" else "en"]
        frame = {
            "frame.brand": brand(t),
            "frame.foot": side_foot(t, keyed=keyed),
            "frame.top": top_bar(t),
            "frame.tabs": tabs(t),
            "frame.json": json_main(t),
            "frame.runs": json_side(t),
            "frame.compare": compare_main(t),
            "frame.comparisons": compare_side(t),
            "frame.monitor": monitor_main(t),
            "frame.panel": panel_head(t),
            "frame.documents": attached(t),
            "frame.attach": attach_button(t),
        }
        by_language[tag] = {**t.all(), **frame}
    return gr.I18n(**by_language)


def _lay_out(services: Services, texts: AllTexts, i18n: gr.I18n) -> Parts:
    english = texts["en"]
    every = services.personas.all()
    choices = [(p.name["en"], p.id) for p in every]
    first = every[0].id if every else CUSTOM
    with gr.Row(elem_id="qw-app"):
        with gr.Column(elem_id="qw-side"):
            frame_piece(i18n("frame.brand"))
            sidebar = build_sidebar(i18n)
            build_runs(i18n)
            build_comparisons(i18n)
            frame_piece(i18n("frame.foot"))
        with gr.Column(elem_id="qw-main"):
            frame_piece(i18n("frame.top"))
            frame_piece(i18n("frame.tabs"))
            chat = build_chat(i18n)
            build_json(i18n)
            build_compare(i18n)
            build_monitor(i18n)
        with gr.Column(elem_id="qw-panel"):
            frame_piece(i18n("frame.panel"))
            persona = build_persona([*choices, (english("persona.custom"), CUSTOM)], first, i18n)
            sampling = build_sampling(i18n)
    return Parts(sidebar, chat, persona, sampling, build_model())


def _connect(demo: gr.Blocks, desk: Desk) -> None:
    parts = desk.parts
    chat, side, persona, sampling = parts.chat, parts.sidebar, parts.persona, parts.sampling
    everything = _outputs(parts)
    sliders = [sampling.base, *sampling.sliders]
    role = [persona.persona, persona.system]
    form = [chat.conversation, *role, *sliders, sampling.seed, chat.documents]

    def on(event: Callable[..., Any], handler: Any, inputs: Sequence[Any], **how: Any) -> None:
        event(
            handler,
            list(inputs),
            how.pop("outputs", everything),
            show_progress="hidden",
            api_visibility="private",
            trigger_mode=how.pop("trigger_mode", "multiple"),
            **how,
        )

    talk = ChatHandlers(desk)
    on(demo.load, SidebarHandlers(desk).load_page, sliders)
    on(chat.text.submit, talk.send, [chat.text, chat.editing, *form])
    on(chat.send.click, talk.send, [chat.text, chat.editing, *form])
    on(chat.stop.click, talk.stop, [], outputs=None, queue=False)
    on(chat.regenerate.submit, talk.regenerate, [chat.regenerate, *form])
    on(chat.example.submit, talk.example, [chat.example, *form])
    on(chat.edit.submit, talk.edit, [chat.edit, chat.conversation])
    on(chat.edit_cancel.submit, talk.edit_cancel, [])
    on(chat.clear.submit, talk.clear, [chat.conversation])
    measured = [chat.meter, persona.cost]
    on(
        chat.text.change,
        talk.measure,
        [chat.text, chat.conversation, *role],
        outputs=measured,
        trigger_mode="always_last",
    )
    demo.unload(talk.left)
    _connect_panels(on, desk, [chat.conversation, *role, *sliders], role, sliders)
    listed = SidebarHandlers(desk)
    here = [chat.conversation, side.search]
    on(side.new.click, listed.new, [])
    on(chat.adopt.submit, listed.adopt, [chat.adopt, side.search])
    on(side.open.submit, listed.open, [side.open, *sliders])
    on(side.search.change, listed.search, here[::-1], trigger_mode="always_last")
    on(side.rename.submit, listed.rename, [side.rename, *here])
    on(side.delete.submit, listed.delete, [side.delete, *here])


def _connect_panels(
    on: Callable[..., None],
    desk: Desk,
    context: Sequence[Any],
    role: Sequence[Any],
    sliders: Sequence[Any],
) -> None:
    parts = desk.parts
    who, how, model = PersonaHandlers(desk), SamplingHandlers(desk), ModelHandlers(desk)
    on(parts.persona.persona.input, who.choose, context)
    # "input" would miss what is pasted, deleted or composed: gradio sees keys alone.
    on(
        parts.persona.system.change,
        who.write,
        [parts.chat.conversation, *role],
        trigger_mode="always_last",
    )
    on(parts.sampling.reset.click, how.reset, role)
    on(parts.model.load.submit, model.load, [parts.model.load], outputs=None)
    on(parts.model.cancel.submit, model.cancel, [], outputs=None)
    on(parts.model.refresh.submit, model.refresh, context)


def _outputs(parts: Parts) -> list[Any]:
    """Whatever a handler may fill; each fills what it names."""
    chat, persona, sampling = parts.chat, parts.persona, parts.sampling
    return [
        *(chat.chat, chat.banner, chat.text, chat.send, chat.stop, chat.meter),
        *(chat.conversation, chat.editing, parts.sidebar.list),
        *(persona.persona, persona.note, persona.system, persona.cost),
        *(*sampling.sliders, sampling.seed, sampling.defaults, sampling.base),
    ]
