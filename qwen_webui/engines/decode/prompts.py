"""Prompts go into the cache piece by piece, at a pace that lets running answers go on.

Who comes next, and what comes of the logits of a whole prompt, the scheduler knows.
"""

from __future__ import annotations

from torch import Tensor

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.pace import Pace
from qwen_webui.engines.decode.sequence import Entered, Sequence
from qwen_webui.engines.scoring import SCORED_AT_ONCE


class Prompts:
    """Of one computer."""

    def __init__(self, computer: Computer) -> None:
        self._computer = computer
        self._pace = Pace(computer.piece)

    def enter(self, sequence: Sequence, running: bool) -> Tensor | None:
        """Compute its next piece; `running` answers wait for that. The logits of its last token
        [vocabulary] once the prompt is whole; None before, and for one that is scored."""
        if (timed := self._computer.timed()) is not None:
            self._pace.measured(timed.tokens, timed.seconds)
        scored, start = sequence.drawing is None, sequence.entered
        most = self._pace.piece(running)
        # Of a text that is scored the last token predicts nothing that is asked for.
        end = len(sequence.prompt) - scored
        stop = min(end, start + (min(most, SCORED_AT_ONCE) if scored else most))
        sequence.news.put(Entered(start))
        logits = self._computer.prefill(sequence.row, sequence.prompt[start:stop], start, scored)
        if scored:
            assert sequence.reading is not None, "what is scored is read"
            sequence.reading.take(start, logits)
        sequence.entered = stop
        return None if scored or stop < end else logits
