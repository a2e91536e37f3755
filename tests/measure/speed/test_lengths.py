"""Lengths that do not fit give way, and say so."""

from __future__ import annotations

import pytest

from qwen_webui.measure.speed.lengths import Length, context_for, fitted


def test_what_fits_stays() -> None:
    found, notes = fitted((30_720, 1, 6_144, 1), 2_048, 32_768)
    assert found == (Length(1, 2_048), Length(6_144, 2_048), Length(30_720, 2_048))
    assert notes == ()


@pytest.mark.parametrize(
    ("inputs", "output", "context", "expected"),
    [
        # The answer gets what a short input leaves.
        ((1,), 2_048, 2_048, [(1, 2_047)]),
        # The input gives way first.
        ((2_000,), 128, 2_048, [(1_920, 128)]),
        # But not below half.
        ((6_144, 14_336), 4_096, 2_048, [(1_024, 1_024)]),
        ((1, 1_500), 1_024, 2_048, [(1, 1_024), (1_024, 1_024)]),
    ],
)
def test_what_does_not_fit_is_clipped(
    inputs: tuple[int, ...], output: int, context: int, expected: list[tuple[int, int]]
) -> None:
    found, notes = fitted(inputs, output, context)
    assert [(one.input_tokens, one.output_tokens) for one in found] == expected
    assert all(one.context <= context for one in found)
    clipped = [one for one in inputs if (one, output) not in expected]
    assert len(notes) == len(clipped)
    for note, wanted in zip(notes, sorted(clipped), strict=True):
        assert note.startswith(f"{wanted} tokens in and {output} out do not fit")
        assert f"context of {context}" in note


def test_a_context_has_room_for_a_trial_and_no_more_than_there_is() -> None:
    assert context_for([Length(1, 16)], 2_048) == 256
    assert context_for([Length(1, 16), Length(500, 16)], 2_048) == 516
    assert context_for([Length(1, 16)], 128) == 128
