"""Who answers: the selector, and the exact system message in view, open to editing."""

from __future__ import annotations

import gradio as gr

from qwen_webui.ui.desk import Desk, Frame, noticed
from qwen_webui.ui.form import Role
from qwen_webui.ui.parts import PersonaParts
from qwen_webui.ui.sampling_panel import moved_frame


def build_persona(choices: list[tuple[str, str]], first: str, i18n: gr.I18n) -> PersonaParts:
    """The upper half of the panel at the right."""
    with gr.Column(elem_id="qw-persona", elem_classes="qw-group"):
        persona = gr.Dropdown(
            choices,
            value=first,
            label=i18n("persona.label"),
            elem_id="qw-role",
            filterable=False,
            interactive=True,
        )
        note = gr.Markdown(sanitize_html=False, latex_delimiters=[])
        system = gr.Textbox(
            label=i18n("persona.system"),
            info=i18n("persona.system_info"),
            elem_id="qw-system",
            lines=6,
            max_lines=14,
            interactive=True,
        )
        cost = gr.Markdown(sanitize_html=False, latex_delimiters=[])
    return PersonaParts(persona, note, system, cost)


class PersonaHandlers:
    """Each method is the handler of one event."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def choose(
        self,
        conversation: str,
        persona: str,
        system: str,
        base: str,
        request: gr.Request,
        *sliders: float,
    ) -> Frame:
        """Show the chosen role's message, examples and sampling."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            role = Role.read(self._desk.services.personas, persona, system)
            frame = dict(self._desk.role_frame(visit, role))
            said = await self._desk.said(visit, conversation)
            meter = await self._desk.meter_frame(visit, role, said)
        # The value came from there: to set it again would call this again.
        del frame[self._desk.parts.persona.persona]
        return {**frame, **meter, **moved_frame(self._desk, visit, role, base, sliders)}

    async def write(
        self, conversation: str, persona: str, system: str, request: gr.Request
    ) -> Frame:
        """An edited message is a role of the user's own; one that was put there is not."""
        visit = self._desk.visit(request)
        with noticed(visit.t):
            chosen = Role.read(self._desk.services.personas, persona, system)
            preset = chosen.describe(self._desk.services.personas)
            if preset is not None and preset.system[visit.t.language] == system:
                return self._desk.unchanged
            role = Role(None, str(system))
            frame = dict(self._desk.role_frame(visit, role))
            # What is being typed must not be set under the typist's hands.
            del frame[self._desk.parts.persona.system]
            said = await self._desk.said(visit, conversation)
            return {**frame, **await self._desk.meter_frame(visit, role, said)}
