"""The one waiting line: shared places for answers, all of it for a swap; first come, first served.

Knows nothing of engines. A ticket that leaves, admitted or not, never holds up the others.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from qwen_webui.errors import Overloaded, QueueTimeout, WebUIError

REMEMBERED = 32  # answers whose duration the advice to come back later is drawn from


class Ticket:
    """One who stands in the line (`place` from 1) or was let through (`place` 0)."""

    def __init__(self, *, alone: bool, deadline: float | None) -> None:
        self.alone = alone
        self.deadline = deadline
        self.place = 0
        self.told: int | None = None
        self.refused: WebUIError | None = None
        self.admitted = 0.0
        self.changed = asyncio.Event()


class Line:
    """At most `max_running()` shared tickets at once, or one that is alone.

    `moved` is called after every change of the counts. `why` is what refusals add while it is set.
    """

    def __init__(
        self,
        max_running: Callable[[], int],
        max_waiting: int,
        queue_timeout: float,
        moved: Callable[[], None],
    ) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._queue_timeout = queue_timeout
        self._moved = moved
        self.why: str | None = None
        self._waiting: deque[Ticket] = deque()
        self._running: set[Ticket] = set()
        self._holder: Ticket | None = None
        self._closed: WebUIError | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._durations: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def running(self) -> int:
        """Shared tickets that were let through."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Shared tickets that still wait."""
        return sum(not ticket.alone for ticket in self._waiting)

    def join(self, *, alone: bool = False, first: bool = False) -> Ticket:
        """Stand in the line; `first` is for repairs, without which nobody would get on.

        Raises Overloaded when the line is full, or the reason it was closed for. Whoever joins
        must call `leave`.
        """
        if self._closed is not None:
            raise self._closed
        room = self.running < self._max_running()
        free = self._holder is None and not self._waiting and room
        if not alone and not free and self.waiting >= self._max_waiting:
            raise Overloaded(
                f"{self.running} requests are running and {self.waiting} wait, which is as many as "
                f"this server takes. {self._because()}Try again in a while.",
                retry_after=self.retry_after(),
            )
        deadline = None if alone else asyncio.get_running_loop().time() + self._queue_timeout
        ticket = Ticket(alone=alone, deadline=deadline)
        ticket.place = len(self._waiting) + 1
        if first:
            self._waiting.appendleft(ticket)
        else:
            self._waiting.append(ticket)
        self._advance()
        return ticket

    async def step(self, ticket: Ticket) -> int:
        """The ticket's place, as soon as it is another than the last time; 0 is let through."""
        while ticket.told == ticket.place and ticket.refused is None:
            ticket.changed.clear()
            try:
                async with asyncio.timeout_at(ticket.deadline):
                    await ticket.changed.wait()
            except TimeoutError:
                if ticket.place and ticket.refused is None:
                    raise QueueTimeout(
                        f"The request waited {self._queue_timeout:g} seconds in line and was not "
                        f"started. {self._because()}Try again later.",
                        retry_after=self.retry_after(),
                    ) from None
        if ticket.refused is not None:
            raise ticket.refused
        ticket.told = ticket.place
        return ticket.place

    async def reach(self, ticket: Ticket) -> None:
        """Wait until the ticket is let through, whatever its places on the way."""
        while await self.step(ticket):
            pass

    def leave(self, ticket: Ticket) -> None:
        """Go, from wherever the ticket is. Leaving twice is harmless."""
        if ticket in self._running:
            self._running.remove(ticket)
            self._durations.append(time.monotonic() - ticket.admitted)
        elif ticket is self._holder:
            self._holder = None
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        self._advance()

    async def idle(self, seconds: float) -> bool:
        """Wait until no shared ticket runs; False when some still do after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    def cut(self) -> None:
        """Count those that run as gone: their engine is, and they may be slow to notice."""
        self._running.clear()
        self._advance()

    def close(self, reason: WebUIError) -> None:
        """Turn away everyone who waits, and everyone from now on, with `reason`."""
        self._closed = reason
        self.dismiss(reason)

    def dismiss(self, reason: WebUIError) -> None:
        """Turn away the shared tickets that wait: nothing will be there to lend."""
        for ticket in [t for t in self._waiting if not t.alone]:
            ticket.refused = reason
            ticket.changed.set()
            self._waiting.remove(ticket)
        self._advance()

    def retry_after(self) -> int:
        """Seconds after which a place is likely free, from how long recent answers took."""
        now = time.monotonic()
        typical = [*self._durations] or [now - ticket.admitted for ticket in self._running] or [0]
        rounds = (self.waiting + 1) / self._max_running()
        seconds = math.ceil(sum(typical) / len(typical) * rounds)
        return max(1, min(seconds, math.ceil(self._queue_timeout)))

    def _because(self) -> str:
        return f"{self.why} " if self.why else ""

    def _advance(self) -> None:
        while self._waiting and self._holder is None:
            head = self._waiting[0]
            if head.alone:
                self._holder = head
            elif self.running < self._max_running():
                head.admitted = time.monotonic()
                self._running.add(head)
            else:
                break
            self._waiting.popleft()
            head.place = 0
            head.changed.set()
        for place, ticket in enumerate(self._waiting, start=1):
            if ticket.place != place:
                ticket.place = place
                ticket.changed.set()
        if self._running:
            self._quiet.clear()
        else:
            self._quiet.set()
        self._moved()
