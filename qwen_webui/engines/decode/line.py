"""Who waits for a row and for pages: first come, first served.

One that does not fit keeps those behind it waiting too, or a long one would wait for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from qwen_webui.engines.decode.pages import Pages
from qwen_webui.engines.decode.sequence import Placed, Sequence


class Line:
    """Gives out the rows and pages of one computer, and takes them back."""

    def __init__(self, pages: Pages, rows: int) -> None:
        self._pages = pages
        self._rows = list(range(rows - 1, -1, -1))
        self.waiting: deque[Sequence] = deque()

    def admitted(self) -> Iterator[Sequence]:
        """Those for whom there is room now, each with its row and pages; the others are told
        their places."""
        while self.waiting and self._rows:
            sequence = self.waiting[0]
            scored = sequence.drawing is None
            holding = self._pages.take(sequence.prompt, sequence.tokens, reuse=not scored)
            if holding is None:
                break
            self.waiting.popleft()
            sequence.holding, sequence.row = holding, self._rows.pop()
            sequence.entered = sequence.cached = holding.cached
            yield sequence
        for place, sequence in enumerate(tuple(self.waiting), 1):
            if sequence.place != place:
                sequence.place = place
                sequence.news.put(Placed(place))

    def give_back(self, sequence: Sequence) -> None:
        """It waits no more, and needs nothing."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        if sequence.holding is not None:
            self._pages.give(sequence.holding)
            self._rows.append(sequence.row)
            sequence.holding = None
