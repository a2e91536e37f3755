"""How many tokens an answer may have, and the refusal when there is no room for one."""

from __future__ import annotations

from qwen_webui.errors import ContextLengthExceeded, InvalidRequest


def room_for_answer(prompt: int, context: int, wanted: int | None) -> int:
    """Most tokens the answer may have: `wanted`, or less where the context of that many tokens
    fills up first. Raises ContextLengthExceeded when not even one fits."""
    if prompt >= context:
        raise ContextLengthExceeded(
            f"The prompt has {prompt} tokens, but the context holds {context} and at least one "
            "must be left for the answer. Shorten the prompt or load with a larger context.",
            param="prompt",
        )
    if wanted is not None and wanted < 1:
        raise InvalidRequest(
            f"max_new_tokens is {wanted}; it must be at least 1.", param="max_new_tokens"
        )
    room = context - prompt
    return room if wanted is None else min(wanted, room)


def budget_too_small(needed: int, room: int) -> InvalidRequest:
    """For a constraint whose shortest answer does not fit into the `room` there is."""
    return InvalidRequest(
        f"The shortest answer found that keeps to the constraint takes {needed} tokens, but only "
        f"{room} are allowed or fit into the context. Set max_new_tokens to {needed} or more, "
        "or ask for less.",
        code="budget_too_small",
        param="max_new_tokens",
    )


def refuse_long_text(tokens: int, context: int) -> None:
    """Raise unless a text of that many tokens can be scored in one context."""
    if tokens > context:
        raise ContextLengthExceeded(
            f"The text has {tokens} tokens, but the model was loaded with a context of {context}. "
            "Score it in parts."
        )
    if tokens < 1:
        raise InvalidRequest("There is no token to score. Give at least one.", param="token_ids")
