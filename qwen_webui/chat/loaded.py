"""What a request is made for: the checkpoint that is loaded now, and how it counts."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_webui.errors import ModelNotReady
from qwen_webui.models import ModelManager
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import EngineInfo

# Seconds; when a first load ends is not known beforehand.
RETRY_AFTER = 5


@dataclass(frozen=True)
class Loaded:
    """One checkpoint as it was loaded; another load of it is another value."""

    info: EngineInfo
    tokenizer: ChatTokenizer


def loaded_in(manager: ModelManager) -> Loaded:
    """What `manager` holds. Raises ModelNotReady."""
    tokenizer = manager.tokenizer()
    status = manager.status()
    if status.info is None:
        raise ModelNotReady(
            f"{status.target or 'The model'} is being loaded. Try again when it is ready.",
            retry_after=RETRY_AFTER,
        )
    return Loaded(status.info, tokenizer)
