"""Who waits for a row and for pages: first come, first served.

One that does not fit keeps those behind it waiting too, or a long one would wait for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from qwen_webui.engines.decode.pages import Pages
from qwen_webui.engines.decode.sequence import Placed, Sequence


class Line:
    """Gives out the rows and pages of one computer, and takes them back."""

    def __init__(self, pages: Pages, rows: int) -> None:
        self._pages = pages
        self._most = rows
        self._rows = list(range(rows - 1, -1, -1))
        # Who had no room, and Pages.changes then: looking again would find the same.
        self._refused: tuple[Sequence, int] | None = None
        self.waiting: deque[Sequence] = deque()

    def admitted(self, fail: Callable[[Sequence, Exception], None]) -> Iterator[Sequence]:
        """Those for whom there is room now, each with its row and pages; the others are told
        their places. For whom there will never be any, `fail` ends."""
        while self.waiting and self._rows:
            sequence = self.waiting[0]
            try:
                seated = self._seat(sequence)
            except Exception as error:
                fail(sequence, error)
                continue
            if not seated:
                break
            self.waiting.popleft()
            yield sequence
        for place, sequence in enumerate(tuple(self.waiting), 1):
            if sequence.place != place:
                sequence.place = place
                sequence.news.put(Placed(place))

    def give_back(self, sequence: Sequence) -> None:
        """It waits no more, and needs nothing."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        holding, sequence.holding = sequence.holding, None
        if holding is not None:
            self._rows.append(sequence.row)
            self._pages.give(holding)

    def _seat(self, sequence: Sequence) -> bool:
        """Whether there was room."""
        if self._refused == (sequence, self._pages.changes):
            return False
        scored = sequence.drawing is None
        holding = self._pages.take(sequence.prompt, sequence.tokens, reuse=not scored)
        if holding is None:
            assert len(self._rows) < self._most, "alone every sequence has room"
            self._refused = sequence, self._pages.changes
            return False
        self._refused = None
        sequence.holding, sequence.row = holding, self._rows.pop()
        sequence.entered = sequence.cached = holding.cached
        return True
