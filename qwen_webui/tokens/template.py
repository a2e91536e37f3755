"""A checkpoint's chat template: a conversation in, text out, errors as sentences.

Knows nothing of tokens; sandbox.py holds what the template may do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from qwen_webui.errors import CheckpointError
from qwen_webui.tokens.budget import Budget
from qwen_webui.tokens.sandbox import BUDGET, TemplateSandbox

MAX_TEMPLATE = 200_000


class ChatTemplate:
    """One compiled template. Safe to render from several threads at once."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """`special_tokens`: bos_token, eos_token ... as the template may name them.

        Raises CheckpointError for a template that is no template.
        """
        if len(source) > MAX_TEMPLATE:
            raise CheckpointError(
                f"The checkpoint's chat template is {len(source):,} characters long; at most "
                f"{MAX_TEMPLATE:,} are read. Use a checkpoint whose template is sound."
            )
        self._special = dict(special_tokens)
        try:
            self._template = TemplateSandbox().from_string(source)
        except (jinja2.TemplateError, RecursionError, SyntaxError) as error:
            raise CheckpointError(
                "The checkpoint's chat template cannot be read: "
                f"{_reason(error)}. Use a checkpoint whose template is sound."
            ) from error

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], input_size: int
    ) -> str:
        """The conversation as text, with the generation prompt.

        `input_size` is the number of characters in messages and tools; the budget grows with it.
        Raises CheckpointError when the template refuses, breaks out or never ends.
        """
        values = {
            **self._special,
            "messages": list(messages),
            "tools": list(tools) or None,
            "documents": None,
            "add_generation_prompt": True,
            BUDGET: Budget(input_size),
        }
        try:
            return "".join(self._template.generate(values))
        # A template is foreign code: whatever it raises is the checkpoint's fault.
        except Exception as error:
            raise CheckpointError(
                "The checkpoint's chat template refused this conversation: "
                f"{_reason(error)}. Use other messages or a checkpoint whose template is sound."
            ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, jinja2.TemplateError | OverflowError):
        text = " ".join((str(error) or type(error).__name__).split())
        return text[:300].rstrip(".")
    return f"it fails with {type(error).__name__}"
