"""Pages under random use: none lost, none held twice, and what is found is what was written."""

from __future__ import annotations

import random

import pytest

from qwen_webui.engines.decode.pages import Holding, Pages

PAGE = 4


class Memory:
    """Beside the bookkeeping, what a computer would have in its pages."""

    def __init__(self, count: int) -> None:
        self.pages = Pages(count, PAGE)
        self.written: dict[tuple[int, int], int] = {}
        self.running: list[tuple[Holding, list[int], int]] = []

    def begin(self, prompt: list[int], tokens: int) -> bool:
        before = self.pages.free
        holding = self.pages.take(prompt, tokens)
        if holding is None:
            assert self.pages.free == before, "a refusal changes nothing"
            return False
        assert len(holding.pages) == self.pages.needed(tokens) == len(set(holding.pages))
        assert holding.cached < len(prompt) and holding.cached % PAGE == 0
        for place in range(holding.cached):
            assert self.read(holding, place) == prompt[place], "what was found is not its own"
        shared = set(holding.pages[: holding.cached // PAGE])
        for other, _, _ in self.running:
            own = set(holding.pages) - shared
            assert not own & set(other.pages), "two sequences may write one page"
        for place in range(holding.cached, len(prompt)):
            self.write(holding, place, prompt[place])
        self.pages.filled(holding, prompt)
        self.running.append((holding, list(prompt), tokens))
        return True

    def write(self, holding: Holding, place: int, token: int) -> None:
        self.written[holding.pages[place // PAGE], place % PAGE] = token

    def read(self, holding: Holding, place: int) -> int:
        return self.written[holding.pages[place // PAGE], place % PAGE]

    def grow(self, which: int, token: int) -> None:
        holding, said, tokens = self.running[which]
        if len(said) < tokens:
            self.write(holding, len(said), token)
            said.append(token)

    def end(self, which: int, keep: bool) -> None:
        holding, said, _ = self.running.pop(which)
        for place, token in enumerate(said):
            assert self.read(holding, place) == token, "somebody wrote into a page that was held"
        if keep:
            self.pages.filled(holding, said)
        self.pages.give(holding)


@pytest.mark.parametrize("seed", range(20))
def test_random_use_loses_nothing(seed: int) -> None:
    random_ = random.Random(seed)
    memory = Memory(random_.randint(6, 40))
    for _ in range(400):
        deed = random_.random()
        if deed < 0.4:
            # Few tokens, so that beginnings meet.
            prompt = [random_.randint(0, 1) for _ in range(random_.randint(1, 30))]
            memory.begin(prompt, len(prompt) + random_.randint(0, 20))
        elif memory.running and deed < 0.8:
            memory.grow(random_.randrange(len(memory.running)), random_.randint(0, 1))
        elif memory.running:
            memory.end(random_.randrange(len(memory.running)), keep=random_.random() < 0.8)
        held = {page for holding, _, _ in memory.running for page in holding.pages}
        assert memory.pages.free + len(held) <= memory.pages.count
    while memory.running:
        memory.end(0, keep=True)
    assert memory.pages.free == memory.pages.count
    memory.pages.forget()
    everything = memory.pages.take([2], memory.pages.count * PAGE)
    assert everything is not None and sorted(everything.pages) == list(range(memory.pages.count))


def used(pages: Pages, prompt: list[int]) -> int:
    """Run `prompt` and end; how many of its tokens were there."""
    holding = pages.take(prompt, len(prompt))
    assert holding is not None
    pages.filled(holding, prompt)
    pages.give(holding)
    return holding.cached


def test_beginnings_are_found_up_to_the_last_token() -> None:
    pages = Pages(16, PAGE)
    first = list(range(12))
    assert used(pages, first) == 0
    assert used(pages, first) == 8, "the last token must be computed: its logits are wanted"
    assert used(pages, [*first, 99]) == 12
    assert used(pages, [*first[:5], 77, *first[6:]]) == 4, "a page is found whole or not at all"
    assert used(pages, [55, *first[1:]]) == 0, "equal pages after other beginnings differ"


def test_least_recently_used_goes_first_and_ends_before_beginnings() -> None:
    pages = Pages(6, PAGE)
    old, new = [1] * 8 + [0], [2] * 8 + [0]
    used(pages, old)
    used(pages, new)
    assert used(pages, old) == 8, "both fit"
    used(pages, [3] * 16)
    assert used(pages, new) == 0, "it was used before the others"
    pages = Pages(3, PAGE)
    used(pages, [1] * 9)
    used(pages, [4] * 5)
    assert used(pages, [1] * 9) == 4, "of one text the end goes before its beginning"


def test_a_sequence_that_does_not_fit_takes_nothing() -> None:
    pages = Pages(4, PAGE)
    held = pages.take([1, 2], 10)
    assert held is not None and pages.free == 1
    assert pages.take([3], 8) is None
    assert pages.free == 1
    pages.give(held)
    assert pages.free == 4


def test_what_is_scored_reuses_nothing() -> None:
    pages = Pages(8, PAGE)
    used(pages, [1] * 9)
    holding = pages.take([1] * 9, 9, reuse=False)
    assert holding is not None and holding.cached == 0
