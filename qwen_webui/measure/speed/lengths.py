"""How long inputs and answers are, fitted to what a checkpoint can hold. Measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# A load tries itself out with a short chat, which must fit too.
LEAST_CONTEXT = 256


@dataclass(frozen=True, order=True)
class Length:
    """Tokens of an input and of its answer."""

    input_tokens: int
    output_tokens: int

    @property
    def context(self) -> int:
        """Tokens that both take."""
        return self.input_tokens + self.output_tokens


def fitted(
    inputs: Sequence[int], output: int, context: int
) -> tuple[tuple[Length, ...], tuple[str, ...]]:
    """One length an input, short ones first, and a sentence for each that had to be clipped.

    The input gives way first, down to half the context; the answer gets what is left then.
    """
    found: list[Length] = []
    notes: list[str] = []
    for wanted in sorted(set(inputs)):
        short = min(wanted, max(context - output, context // 2))
        one = Length(short, min(output, context - short))
        if one != Length(wanted, output):
            text = f"{wanted} tokens in and {output} out do not fit the context of {context}"
            done = "measured already" if one in found else "measured instead"
            notes.append(f"{text}: {one.input_tokens} in and {one.output_tokens} out are {done}.")
        if one not in found:
            found.append(one)
    return tuple(found), tuple(notes)


def context_for(lengths: Sequence[Length], most: int) -> int:
    """Tokens of context with which all of them can be asked; `most` is the checkpoint's own."""
    return min(most, max(LEAST_CONTEXT, *(one.context for one in lengths)))
