"""What Gradio would print of an event that fails, as one line of our log.

Its own traceback on the console quotes the values of the event, line ends and all. Changes
nothing of what the visitor is told.
"""

from __future__ import annotations

import logging

import gradio.queueing
import gradio.routes

log = logging.getLogger(__name__)


class _Traces:
    """In the place of the module `traceback`, of which Gradio calls this one function there."""

    @staticmethod
    def print_exc() -> None:
        """See traceback."""
        log.warning("an event of the page failed", exc_info=True)


def log_event_errors() -> None:
    """From now on, and for all pages of this process."""
    for module in (gradio.queueing, gradio.routes):
        vars(module)["traceback"] = _Traces
