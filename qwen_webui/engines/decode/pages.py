"""Who holds which pages of the cache, and which of them can be read again.

Pages that were filled whole stay after their sequence, found by their tokens and those before
them, until somebody needs the room: least recently used goes first. Numbers only: what is in the
pages is the computer's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

# The tokens of a page, and the number of the block before it: equal keys, equal contents.
Key = tuple[int, tuple[int, ...]]
NOTHING_BEFORE = 0


@dataclass(slots=True)
class Holding:
    """The pages of one sequence, in order. The first `cached` tokens were there already."""

    pages: list[int]
    cached: int
    # Of its first pages, those that others can find: their block numbers.
    blocks: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Block:
    """A page that can be found by its tokens."""

    number: int
    key: Key
    page: int
    holders: int


class Pages:
    """All pages of one computer. For one thread."""

    def __init__(self, count: int, page_tokens: int) -> None:
        assert count > 0 and page_tokens > 0, "a cache has pages, and pages have tokens"
        self.count, self.page_tokens = count, page_tokens
        self._empty = list(range(count - 1, -1, -1))
        self._found: dict[Key, _Block] = {}
        self._by_number: dict[int, _Block] = {}
        # Blocks that nobody holds, the one to go next first.
        self._idle: OrderedDict[int, _Block] = OrderedDict()
        self._numbers = NOTHING_BEFORE
        # Grows with whatever may make room for one that `take` had none for.
        self.changes = 0

    @property
    def free(self) -> int:
        """Pages that can be had: empty ones, and kept ones that nobody reads."""
        return len(self._empty) + len(self._idle)

    def needed(self, tokens: int) -> int:
        """Pages that so many tokens take."""
        return -(-tokens // self.page_tokens)

    def take(self, token_ids: Sequence[int], tokens: int, reuse: bool = True) -> Holding | None:
        """Pages for a sequence of `tokens` in the end that begins with `token_ids`; None while
        there are too few. The last of `token_ids` is never taken as cached: its logits are
        wanted."""
        assert tokens >= len(token_ids) > 0, "a sequence holds at least what it begins with"
        kept = self._match(token_ids) if reuse else []
        wanted = self.needed(tokens) - len(kept)
        resting = sum(1 for block in kept if block.holders == 0)
        if wanted > self.free - resting:
            return None
        for block in kept:
            self._hold(block)
        pages = [block.page for block in kept] + [self._fresh() for _ in range(wanted)]
        numbers = [block.number for block in kept]
        return Holding(pages, len(kept) * self.page_tokens, numbers)

    def filled(self, holding: Holding, token_ids: Sequence[int]) -> None:
        """The sequence's tokens from its first on that are in the cache now: whole pages of them
        can be found from now on."""
        while (end := (len(holding.blocks) + 1) * self.page_tokens) <= len(token_ids):
            before = holding.blocks[-1] if holding.blocks else NOTHING_BEFORE
            key = before, tuple(token_ids[end - self.page_tokens : end])
            page = holding.pages[len(holding.blocks)]
            found = self._found.get(key)
            if found is None:
                self._numbers += 1
                found = _Block(self._numbers, key, page, 0)
                self._found[key] = self._by_number[found.number] = found
                self.changes += 1
            # Where somebody else filled the same first, the chain goes on with theirs; this
            # sequence still reads and gives back its own page.
            self._hold(found)
            holding.blocks.append(found.number)

    def give(self, holding: Holding) -> None:
        """The sequence has ended. Its last pages are the first to go."""
        self.changes += 1
        for place in range(len(holding.pages) - 1, -1, -1):
            page = holding.pages[place]
            if place >= len(holding.blocks):
                self._empty.append(page)
                continue
            block = self._by_number[holding.blocks[place]]
            block.holders -= 1
            if block.holders == 0:
                self._idle[block.number] = block
            if block.page != page:
                self._empty.append(page)
        holding.pages, holding.blocks = [], []

    def forget(self) -> None:
        """Keep nothing that nobody holds."""
        while self._idle:
            self._empty.append(self._evict())

    def _match(self, token_ids: Sequence[int]) -> list[_Block]:
        """The longest beginning that is kept, without the last token."""
        found: list[_Block] = []
        before = NOTHING_BEFORE
        for end in range(self.page_tokens, len(token_ids), self.page_tokens):
            block = self._found.get((before, tuple(token_ids[end - self.page_tokens : end])))
            if block is None:
                break
            found.append(block)
            before = block.number
        return found

    def _hold(self, block: _Block) -> None:
        if block.holders == 0:
            self._idle.pop(block.number, None)
        block.holders += 1

    def _fresh(self) -> int:
        return self._empty.pop() if self._empty else self._evict()

    def _evict(self) -> int:
        """Blocks that stood behind it are found no more, and go when their turn comes."""
        _, block = self._idle.popitem(last=False)
        del self._found[block.key], self._by_number[block.number]
        return block.page
