"""A model of the embedded checkpoint on our own path, and what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode.cpu import CpuComputer, load_computer
from qwen_webui.engines.decode.model import DecodedModel
from qwen_webui.engines.loading import read_config
from qwen_webui.types import GenerationEvent, LoadPlan, Precision, TextDelta
from tests.engines.asking import Reply, request
from tests.engines.checkpoints import plan

DEMO = Path(__file__).parents[3] / "qwen_webui" / "demo"
CONTEXT = 2048


def demo(precision: Precision = "fp16", **changes: Any) -> LoadPlan:
    """The embedded checkpoint, in float32."""
    return plan(DEMO / f"demo-{precision}", precision, max_context=CONTEXT, **changes)


def computer(of: LoadPlan | None = None, **changes: Any) -> CpuComputer:
    """Its weights; `changes` are attributes of the class."""
    of = of or demo()
    found = load_computer(of, read_config(of), "float32")
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def model(of: LoadPlan | None = None, on: CpuComputer | None = None) -> DecodedModel:
    """Ready to answer."""
    of = of or demo()
    return DecodedModel(of, read_config(of), on or computer(of), "float32")


def answer(found: DecodedModel, text: str = "Tell me a story!", **fields: Any) -> Reply:
    """The whole answer; it goes on to max_new_tokens."""
    ends = tuple((end, -100.0) for end in found.info.stop_ids)
    said: list[GenerationEvent] = []
    asked = request(text, **{"logit_bias": ends, **fields})
    found.generate(asked, Ticket(), said.append)
    return Reply(tuple(said))


class Asked:
    """An answer in a thread of its own."""

    def __init__(self, found: DecodedModel, text: str, **fields: Any) -> None:
        self.ticket = Ticket()
        self.events: list[GenerationEvent] = []
        self.error: Exception | None = None
        ends = tuple((end, -100.0) for end in found.info.stop_ids)
        asked = request(text, **{"logit_bias": ends, **fields})

        def run() -> None:
            try:
                found.generate(asked, self.ticket, self.events.append)
            except Exception as error:
                self.error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def tokens(self) -> int:
        """Said so far."""
        return sum(1 for event in self.events if isinstance(event, TextDelta))

    def whole(self) -> Reply:
        """Its end. Raises what it ended with."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "it does not end"
        if self.error is not None:
            raise self.error
        return Reply(tuple(self.events))


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class Faulty(CpuComputer):
    """Goes wrong where a test says so; made of a sound one."""

    before_seat: Callable[[Sequence[int]], None] = staticmethod(lambda _: None)
    before_prefill: Callable[[Sequence[int]], None] = staticmethod(lambda _: None)
    after_decode: Callable[[Sequence[int], Tensor], Tensor] = staticmethod(lambda _, found: found)

    @classmethod
    def of(cls, sound: CpuComputer) -> Faulty:
        sound.__class__ = cls
        assert isinstance(sound, Faulty)
        return sound

    def seat(self, row: int, pages: Sequence[int]) -> None:
        self.before_seat(pages)
        super().seat(row, pages)

    def prefill(
        self, row: int, token_ids: Sequence[int], start: int, every: bool = False
    ) -> Tensor:
        self.before_prefill(token_ids)
        return super().prefill(row, token_ids, start, every)

    def decode(self, rows: Sequence[int], tokens: Tensor, positions: Sequence[int]) -> Tensor:
        return self.after_decode(rows, super().decode(rows, tokens, positions))
