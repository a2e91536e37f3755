"""Pieces of prompts, by counts: how much of a prompt comes between two steps of the others."""

from __future__ import annotations

import itertools

import pytest

from qwen_webui.engines.decode.computer import Timed
from qwen_webui.engines.decode.cpu import CpuComputer
from qwen_webui.engines.decode.pace import ALONE_SECONDS, LEAST, STALL_SECONDS, Pace
from qwen_webui.types import Progress
from tests.engines.decode.asking import Asked, computer, model, until

LONG = "The ship sailed on over the grey sea, and nobody on board knew where to. " * 40


class Known(CpuComputer):
    """Says of every piece that each of its tokens took `seconds`; where that is None, nothing."""

    seconds: float | None = None

    def timed(self) -> Timed | None:
        timed = super().timed()
        if timed is None or self.seconds is None:
            return None
        return Timed(timed.tokens, timed.tokens * self.seconds)


def pieces_of(seconds: float | None, *, beside: bool) -> list[int]:
    """Tokens of each piece of a long prompt, the last piece without."""
    on = computer()
    on.__class__ = Known
    assert isinstance(on, Known)
    on.seconds = seconds
    found = model(on=on)
    try:
        if beside:
            running = Asked(found, "Hi", max_new_tokens=1500)
            until(lambda: running.tokens() > 3)
        seen = Asked(found, LONG, max_new_tokens=1).whole()
        if beside:
            assert running.error is None and running.tokens() < 1500
            running.ticket.cancel()
    finally:
        found.unload()
    done = [event.done for event in seen.events if isinstance(event, Progress)]
    return [after - before for before, after in itertools.pairwise(done)]


@pytest.mark.parametrize("seconds", [0.0004, 0.0008, 0.0016])
def test_pieces_shrink_so_that_nobody_waits_longer(seconds: float) -> None:
    first, *others = pieces_of(seconds, beside=True)
    assert first == int(STALL_SECONDS / seconds), "the prompt before it was timed"
    assert set(others) == {first}
    assert first * seconds == pytest.approx(STALL_SECONDS) or first * seconds < STALL_SECONDS


def test_alone_pieces_are_as_long_as_a_cancel_may_wait() -> None:
    pieces = pieces_of(0.002, beside=False)
    assert set(pieces[1:]) == {int(ALONE_SECONDS / 0.002)}
    assert set(pieces_of(1e-9, beside=False)[1:]) == {CpuComputer.piece}
    assert set(pieces_of(10.0, beside=False)[1:]) == {LEAST}


def test_while_no_time_is_known_pieces_stay_cautious() -> None:
    assert set(pieces_of(None, beside=True)) == {CpuComputer.piece // 8}


def test_a_device_that_slows_down_is_followed() -> None:
    pace = Pace(4096)
    waits = []
    for place in range(12):
        tokens = pace.piece(running=True)
        # Later pieces attend to more.
        seconds = tokens * (1e-5 + 4e-6 * place)
        pace.measured(tokens, seconds)
        waits.append(seconds)
    assert max(waits[1:]) < 1.51 * STALL_SECONDS
    assert waits[-1] == pytest.approx(STALL_SECONDS, rel=0.2)
    pace.measured(LEAST - 1, 100.0)
    assert pace.piece(running=True) > LEAST, "a short piece says little"
