"""How many tokens an answer may have, and the refusal when there is no room for one."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_webui.errors import ContextLengthExceeded, InvalidRequest
from qwen_webui.types import MOST_IDS, MOST_NUMBERS, MOST_POSITIONS, DistributionRequest


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


def refuse_unknown(token_ids: Sequence[int], vocabulary: int, param: str) -> None:
    """Raise unless the model has each of these tokens, of which there is one: at any other a
    card would fail for good."""
    for token in (min(token_ids), max(token_ids)):
        if not 0 <= token < vocabulary:
            raise InvalidRequest(
                f"Token {token} is not one of this model's, which are 0 to {vocabulary - 1}. "
                "Encode the text with the tokenizer of the checkpoint that is loaded.",
                param=param,
            )


def check_distributions(asked: DistributionRequest, context: int, vocabulary: int) -> None:
    """Raise unless `asked` can be answered at once over `vocabulary` ids."""
    refuse_long_text(len(asked.token_ids), context)
    refuse_unknown(asked.token_ids, vocabulary, "token_ids")
    if asked.start < 0 or not 1 <= asked.positions <= MOST_POSITIONS:
        raise InvalidRequest(
            f"{asked.positions} positions from {asked.start} on were asked for; one answer holds "
            f"1 to {MOST_POSITIONS}. Ask in parts.",
            param="start",
        )
    most = min(MOST_IDS, MOST_NUMBERS // asked.positions)
    if not 1 <= asked.top <= most:
        raise InvalidRequest(
            f"{asked.top} ids of each of {asked.positions} positions were asked for; one answer "
            f"holds 1 to {most}. Ask for fewer, or in smaller parts.",
            param="top",
        )
    if asked.at is not None and len(asked.at) != 4 * asked.positions * asked.top:
        raise InvalidRequest(
            f"The ids have {len(asked.at)} bytes; {asked.positions} positions of {asked.top} ids "
            f"take {4 * asked.positions * asked.top}.",
            param="at",
        )
    if asked.at is not None:
        refuse_unknown(memoryview(asked.at).cast("i"), vocabulary, "at")
