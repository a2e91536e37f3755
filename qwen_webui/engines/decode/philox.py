"""Random numbers that depend on nothing but their names: Philox 4x32 with ten rounds.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011); the tests hold
it to the authors' known answers.
"""

from __future__ import annotations

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
WORD = 0xFFFFFFFF

Words = tuple[int, int, int, int]


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Four random words of 32 bits."""
    a, b, c, d = counter
    low, high = key
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (
            (second >> 32) ^ b ^ low,
            second & WORD,
            (first >> 32) ^ d ^ high,
            first & WORD,
        )
        low, high = (low + WEYL[0]) & WORD, (high + WEYL[1]) & WORD
    return a, b, c, d


def uniform(seed: int, index: int, attempt: int = 0) -> float:
    """In [0, 1), 53 bits: for draw `attempt` of token `index` of the answer with `seed`."""
    counter = index & WORD, index >> 32, attempt, 0
    high, low, _, _ = philox(counter, (seed & WORD, (seed >> 32) & WORD))
    return ((high >> 5) * 2**26 + (low >> 6)) / 2**53
