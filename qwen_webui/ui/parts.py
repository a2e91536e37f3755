"""The components of the page by name, for the handlers that fill them. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class SidebarParts:
    """The list of conversations. The events come from links and dialogs through hidden boxes."""

    new: gr.Button
    search: gr.Textbox
    list: gr.Markdown
    open: gr.Textbox
    rename: gr.Textbox
    delete: gr.Textbox


@dataclass(frozen=True)
class ChatParts:
    """The conversation and the box below it. `conversation`, `editing` and `documents` are not
    shown: the id; the place of the message that is being edited, which assets/chat.js may empty;
    ids of the documents that are asked, joined with ",", which assets/attach.js keeps."""

    chat: gr.Chatbot
    banner: gr.Markdown
    text: gr.Textbox
    send: gr.Button
    stop: gr.Button
    meter: gr.Markdown
    conversation: gr.Textbox
    editing: gr.Textbox
    regenerate: gr.Textbox
    edit: gr.Textbox
    edit_cancel: gr.Textbox
    example: gr.Textbox
    clear: gr.Textbox
    documents: gr.Textbox
    adopt: gr.Textbox


@dataclass(frozen=True)
class PersonaParts:
    """Who answers."""

    persona: gr.Dropdown
    note: gr.Markdown
    system: gr.Textbox
    cost: gr.Markdown


@dataclass(frozen=True)
class SamplingParts:
    """How words are chosen. `base` is not shown: where the defaults last put the sliders."""

    sliders: tuple[gr.Slider, ...]
    seed: gr.Textbox
    defaults: gr.Markdown
    reset: gr.Button
    base: gr.Textbox


@dataclass(frozen=True)
class ModelParts:
    """Events of the model bar, whose looks are fetched from /ui."""

    load: gr.Textbox
    cancel: gr.Textbox
    refresh: gr.Textbox


@dataclass(frozen=True)
class Parts:
    """The whole page."""

    sidebar: SidebarParts
    chat: ChatParts
    persona: PersonaParts
    sampling: SamplingParts
    model: ModelParts


def frame_piece(value: object, id: str | None = None) -> gr.Markdown:
    """A part of the frame, ours to the letter; scripts fill what in it is empty."""
    return gr.Markdown(
        value,  # type: ignore[arg-type]
        elem_id=id,
        sanitize_html=False,
        latex_delimiters=[],
    )


def hidden_event(name: str) -> gr.Textbox:
    """A box that nobody sees; assets/bus.js puts a value in and presses Enter."""
    return gr.Textbox(
        elem_id=f"qw-do-{name}",
        visible="hidden",
        lines=1,
        max_lines=1,
        show_label=False,
        container=False,
    )


def hidden_value() -> gr.Textbox:
    """A value that the browser keeps for the next event, so a server restart loses nothing."""
    return gr.Textbox(visible=False)
