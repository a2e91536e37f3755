"""Starts comparisons, one at a time for everybody, tells how far the one under way is, and keeps
those that ended. What a comparison does is run.py's, where it is kept results.py's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path

from qwen_webui.comparison.fidelity import fidelity_of
from qwen_webui.comparison.results import FOLDER, Results
from qwen_webui.comparison.run import Job
from qwen_webui.comparison.values import Answer, Column, Comparison, Wanted
from qwen_webui.comparison.wanted import Checker
from qwen_webui.errors import Conflict, StoreError
from qwen_webui.measure.fidelity import FidelityRow
from qwen_webui.models import ModelManager

log = logging.getLogger(__name__)

GOING_SECONDS = 4.0  # for a comparison to end when the program does


class Comparisons:
    """What the page and the API have of comparisons. Made where blocking for a moment is no harm:
    it reads what was kept."""

    def __init__(self, manager: ModelManager, data_dir: Path) -> None:
        self._manager = manager
        self._data_dir = data_dir
        self._checker = Checker(manager)
        self._results = Results(data_dir / FOLDER)
        self._now: Comparison | None = None
        self._pulse = asyncio.Event()
        self._starting = False
        self._job: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, wanted: Wanted, owner: str) -> Comparison:
        """Begin in the background. Raises Conflict while anybody's is under way, NotFound and
        InvalidRequest for what cannot be compared, ContextLengthExceeded."""
        if self._starting or self._now is not None:
            raise Conflict("A comparison is under way already. Wait until it is done.")
        self._starting = True
        try:
            specs = await self._checker.check(wanted)
        finally:
            self._starting = False
        blank = tuple(Answer() for _ in wanted.prompts)
        begun = Comparison(
            id=secrets.token_hex(16),
            owner=owner,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            state="waiting",
            wanted=wanted,
            columns=tuple(Column(s.name, s.title, s.precision, answers=blank) for s in specs),
        )
        self._post(begun)
        job = Job(self._manager, begun, self._post)
        self._job = asyncio.create_task(job.run(), name="comparison")
        self._keeper = asyncio.create_task(self._kept(job, self._job), name="comparison-kept")
        return begun

    def current(self) -> Comparison | None:
        """The one under way, whoever's it is; None when there is none."""
        return self._now

    def get(self, owner: str, id: str) -> Comparison:
        """One of the owner's, under way or ended. Raises NotFound."""
        if self._now is not None and (self._now.id, self._now.owner) == (id, owner):
            return self._now
        return self._results.get(owner, id)

    async def listed(self, owner: str) -> tuple[Comparison, ...]:
        """The owner's, newest first, the one under way too."""
        own = (self._now,) if self._now is not None and self._now.owner == owner else ()
        return (*own, *(kept for kept in self._results.listed(owner) if kept not in own))

    async def changed(self, seen: Comparison | None) -> Comparison | None:
        """The current one, as soon as it is another value than `seen`; None once it has ended, when
        `get` has it."""
        while self._now is seen or self._now == seen:
            await self._pulse.wait()
        return self._now

    async def cancel(self, owner: str, id: str) -> None:
        """End it where it is; what was answered is kept. Of one that has ended nothing changes.
        Raises NotFound."""
        if self.get(owner, id) is self._now and self._job is not None:
            self._job.cancel()
            await asyncio.sleep(0)  # the next look at it sees that it ends

    async def delete(self, owner: str, id: str) -> None:
        """Delete it for good. Raises NotFound, and Conflict for one under way."""
        found = self.get(owner, id)
        if found is self._now:
            raise Conflict("The comparison is under way. Cancel it first.")
        await asyncio.to_thread(self._results.delete, owner, id)

    async def fidelity(self, checkpoints: tuple[str, ...]) -> tuple[FidelityRow, ...]:
        """What was measured last of these checkpoints; see fidelity_of."""
        return await asyncio.to_thread(fidelity_of, self._data_dir, checkpoints)

    async def close(self) -> None:
        """End the one under way and keep what it has. Closing twice is harmless."""
        if self._job is not None and self._keeper is not None:
            self._job.cancel()
            await asyncio.wait((self._keeper,), timeout=GOING_SECONDS)

    async def _kept(self, job: Job, task: asyncio.Task[None]) -> None:
        await asyncio.wait((task,))
        if task.cancelled():  # before its first step
            job.cut_off()
        try:
            await asyncio.to_thread(self._results.keep, job.now)
        except StoreError as error:
            log.error("%s", error.message)
        self._job = self._keeper = None
        self._post(None)

    def _post(self, comparison: Comparison | None) -> None:
        self._now = comparison
        self._pulse.set()
        self._pulse = asyncio.Event()
