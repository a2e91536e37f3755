"""A thread that takes steps while there is anything to do, and sleeps until it is stirred.

Knows nothing of what a step does: that is the scheduler's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Loop:
    """`stirring` and `close` may be used in any thread."""

    def __init__(self, step: Callable[[], bool], end: Callable[[], None]) -> None:
        """`step` says whether it did anything; `end` comes after the last, whatever ended them."""
        self._step, self._end = step, end
        self._changed = threading.Condition()
        self._stirred = False
        self._thread: threading.Thread | None = None
        # Read and written inside `stirring` alone, besides the thread's own look.
        self.closing = False

    def start(self, before: Callable[[], None]) -> None:
        """`before` is the first that the thread does."""
        self._thread = threading.Thread(
            target=self._run, args=(before,), name="scheduler", daemon=True
        )
        self._thread.start()

    @contextmanager
    def stirring(self) -> Iterator[None]:
        """What is changed inside the thread looks at next."""
        with self._changed:
            yield
            self._stirred = True
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """In a step: whether it is so, or was after somebody stirred or so many seconds."""
        with self._changed:
            return until() or (self._changed.wait(seconds) and until())

    def close(self) -> None:
        """The step under way is the last."""
        with self.stirring():
            self.closing = True
        assert self._thread is not None, "it was started"
        self._thread.join()

    def _run(self, before: Callable[[], None]) -> None:
        with torch.inference_mode():
            try:
                before()
                while not self.closing:
                    if not self._step():
                        with self._changed:
                            self._changed.wait_for(lambda: self._stirred)
                            self._stirred = False
            finally:
                with self._changed:
                    self.closing = True
                self._end()
