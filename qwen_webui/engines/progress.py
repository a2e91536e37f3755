"""How far a load or a long prefill has come, as events. Measures nothing itself."""

from __future__ import annotations

from collections.abc import Callable

from qwen_webui.types import GenerationEvent, Progress

Emit = Callable[[GenerationEvent], None]


class LoadProgress:
    """Bytes of the weights that are in memory; never falls, never over the whole."""

    def __init__(self, total: int, emit: Emit) -> None:
        self._total, self._emit = total, emit
        self._done = -1

    def taken(self, size: int) -> None:
        """The process holds `size` bytes more than when the load began."""
        done = min(size, self._total)
        if done > self._done:
            self._done = done
            self._emit(Progress("loading", done, self._total, "bytes"))


class PrefillProgress:
    """Tokens of the prompt that are through; short prompts are not worth an event."""

    def __init__(self, total: int, chunk: int, emit: Emit) -> None:
        self._total, self._emit = total, emit
        self._entered = 0
        self._worth_it = total > chunk

    def entered(self, tokens: int) -> None:
        """`tokens` more are at the first layer; those before them are through."""
        if self._worth_it and self._entered < self._total:
            self._emit(Progress("prefill", self._entered, self._total, "tokens"))
        self._entered += tokens
