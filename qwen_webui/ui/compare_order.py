"""What the Compare tab asks for, checked and made into a value.

A browser may send anything, so every value is looked at here. Whether the checkpoints are there and
can be compared, the comparison itself says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qwen_webui.comparison.values import Prompt, Wanted
from qwen_webui.comparison.wanted import MOST_CHECKPOINTS, MOST_PROMPTS
from qwen_webui.errors import InvalidRequest, NotFound
from qwen_webui.limits import check_sampling
from qwen_webui.personas import Language
from qwen_webui.services import Services
from qwen_webui.store import Conversation
from qwen_webui.types import Message, Sampling
from qwen_webui.ui.form import history

BETWEEN = "---"  # a line of its own
MOST_CHARACTERS = 200_000
TITLE_CHARACTERS = 80
_LONGEST_NAME = 500


async def read_order(
    services: Services, owner: str, sent: Mapping[str, Any], language: Language
) -> Wanted:
    """From what a browser sent. Raises InvalidRequest and NotFound."""
    names = sent.get("checkpoints")
    if not isinstance(names, list):
        raise InvalidRequest("The page is out of date. Reload it.", param="checkpoints")
    if not all(isinstance(name, str) and len(name) <= _LONGEST_NAME for name in names):
        raise InvalidRequest("The page is out of date. Reload it.", param="checkpoints")
    if not 2 <= len(names) <= MOST_CHECKPOINTS:
        raise InvalidRequest(
            f"{len(names)} checkpoints are chosen; 2 to {MOST_CHECKPOINTS} can be compared.",
            param="checkpoints",
        )
    conversation = sent.get("conversation", "")
    if not isinstance(conversation, str):
        raise InvalidRequest("The page is out of date. Reload it.", param="conversation")
    if conversation:
        found = await services.store.get(owner, conversation)
        prompts: tuple[Prompt, ...] = (said_prompt(services, found, language),)
    else:
        prompts = split_prompts(sent.get("prompts"))
    return Wanted(tuple(dict.fromkeys(names)), prompts, _sampling(sent))


def split_prompts(text: object) -> tuple[Prompt, ...]:
    """The prompts between lines of ---. Raises InvalidRequest."""
    if not isinstance(text, str):
        raise InvalidRequest("The page is out of date. Reload it.", param="prompts")
    if len(text) > MOST_CHARACTERS:
        raise InvalidRequest(
            f"The prompts have {len(text):,} characters; at most {MOST_CHARACTERS:,} are taken.",
            param="prompts",
        )
    blocks: list[list[str]] = [[]]
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.strip() == BETWEEN:
            blocks.append([])
        else:
            blocks[-1].append(line)
    texts = [block for lines in blocks if (block := "\n".join(lines).strip())]
    if not texts:
        raise InvalidRequest("It is empty. Write something.", code="empty_prompt", param="prompts")
    if len(texts) > MOST_PROMPTS:
        raise InvalidRequest(
            f"There are {len(texts)} prompts; at most {MOST_PROMPTS} are compared at once.",
            param="prompts",
        )
    return tuple(Prompt(_title(one), (Message("user", one),)) for one in texts)


def said_messages(
    services: Services, conversation: Conversation, language: Language
) -> tuple[Message, ...]:
    """What was said up to the user's last turn, after the role's message; empty without one."""
    said = history(conversation)
    while said and said[-1].role != "user":
        said = said[:-1]
    if not said:
        return ()
    record = next((m for m in reversed(conversation.messages) if m.role == "system"), None)
    system = record.content if record is not None else ""
    if record is None and conversation.persona:
        try:
            system = services.personas.get(conversation.persona).system[language]
        except NotFound:
            system = ""  # a role that was taken out of the folder since
    return (*((Message("system", system),) if system else ()), *said)


def said_prompt(services: Services, conversation: Conversation, language: Language) -> Prompt:
    """The conversation as one prompt. Raises InvalidRequest for one without a user's turn."""
    messages = said_messages(services, conversation, language)
    if not messages:
        raise InvalidRequest(
            "The conversation has no message of yours yet. Write one in the chat first.",
            param="conversation",
        )
    return Prompt(conversation.title or _title(messages[-1].content), messages)


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARACTERS else f"{line[: TITLE_CHARACTERS - 1]}…"


def _sampling(sent: Mapping[str, Any]) -> Sampling:
    heat, seed, most = (sent.get(name) for name in ("temperature", "seed", "max_new_tokens"))
    for name, value in (("temperature", heat), ("seed", seed), ("max_new_tokens", most)):
        odd = isinstance(value, bool) or not isinstance(value, (int, float, type(None)))
        if odd or (isinstance(value, float) and not math.isfinite(value)):
            raise InvalidRequest("This is not a number.", code="bad_number", param=name)
    sampling = Sampling(temperature=heat or 0.0, seed=seed, max_new_tokens=most)
    check_sampling(sampling)
    return sampling
