"""What a scripted engine is told to do. Data only; scripted.py plays it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qwen_webui.errors import WebUIError
from qwen_webui.types import FEW_AT_ONCE, CheckpointSpec, GenerationRequest, Sampling

DEFAULTS = Sampling(0.7, 0.8, 20, 0.0, 1.05, 0.0, 0.0)


@dataclass(frozen=True)
class Script:
    """What an engine does with every request. Times in seconds, places in tokens from 0.

    `words` is the answer, one token each when there is no tokenizer; None echoes the last user
    text. `answer` computes it instead. `fail_at`, `hang_at` and `die_at` strike before that
    token; `load_error` is raised by the load after `load_delay`. `surprise` is minus the
    natural-log probability of each token of a text that is scored; `at_once` is what the engine
    says of itself.
    """

    words: tuple[str, ...] | None = None
    answer: Callable[[CheckpointSpec, GenerationRequest], str] | None = None
    delay: float = 0.0
    prefill: float = 0.0
    fail_at: int | None = None
    error: WebUIError | None = None
    hang_at: int | None = None
    die_at: int | None = None
    load_delay: float = 0.0
    load_error: WebUIError | None = None
    surprise: float = 1.0
    at_once: int = FEW_AT_ONCE

    def text(self, spec: CheckpointSpec, request: GenerationRequest) -> str:
        """The whole answer."""
        if self.answer is not None:
            return self.answer(spec, request)
        if self.words is not None:
            return " ".join(self.words)
        said = [m.content for m in request.messages if m.role == "user"]
        if request.prompt is not None:
            said = [str(request.prompt)]
        return f"Echo: {said[-1] if said else ''}"
