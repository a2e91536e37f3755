"""What an engine is asked, and says, of its distributions over the next token of a given text.

Numbers cross as bytes, little-endian and row after row, because there are many: a position of a
text is a row. Reading them is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass

# Positions of one answer, ids of one position, and numbers of one answer, at most.
MOST_POSITIONS = 256
MOST_IDS = 8_192
MOST_NUMBERS = 1 << 21


@dataclass(frozen=True)
class DistributionRequest:
    """A text in token ids, of which the predictions from position `start` on are wanted: position
    t predicts token t + 1, so the last token predicts nothing that is asked for.

    `top` likeliest ids of each position (fewer where the vocabulary is smaller); or, where `at`
    is given, `top` ids of each position that the caller chose: int32 [positions, top].
    """

    token_ids: tuple[int, ...]
    start: int
    top: int
    at: bytes | None = None

    @property
    def positions(self) -> int:
        """How many predictions are wanted."""
        return len(self.token_ids) - 1 - self.start


@dataclass(frozen=True)
class Distributions:
    """Natural-log probabilities, teacher forced. `ids` int32 [positions, width], by falling
    probability or as they were asked for; `logprobs` float32 [positions, width], theirs; `tail`
    float32 [positions], of all other ids together, -inf where there are none; `following` float32
    [positions], of the token that really follows; `likeliest` int32 [positions], the argmax."""

    positions: int
    width: int
    ids: bytes
    logprobs: bytes
    tail: bytes
    following: bytes
    likeliest: bytes
