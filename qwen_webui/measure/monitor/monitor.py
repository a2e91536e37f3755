"""Takes a sample every second, keeps the last hour and knows whether memory runs out.

Readings are made in a thread; what they are put together with is the event loop's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from statistics import fmean
from typing import Literal

from qwen_webui.errors import DeviceUnusable
from qwen_webui.measure.monitor.card import Card
from qwen_webui.measure.monitor.history import History
from qwen_webui.measure.monitor.machine import Machine
from qwen_webui.measure.monitor.values import Program, Reading, Sample, per_second, split
from qwen_webui.measure.monitor.warning import MemoryWarning, Threshold
from qwen_webui.models import ModelManager
from qwen_webui.types import Device

log = logging.getLogger(__name__)

SECOND = 1.0
RETRY_SECONDS = 30.0  # between tries to open a driver that went away


class Monitor:
    """`device` is what is watched: the first card, or the machine. `wall` and `steady` are
    clocks."""

    def __init__(
        self,
        manager: ModelManager,
        wanted: Literal["auto", "cuda", "cpu"],
        percent: float,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.manager = manager
        self.history = History()
        self.threshold = Threshold(percent)
        self.latest: Sample | None = None
        self.warning: MemoryWarning | None = None
        self.warnings = 0
        self.device: Device = "cpu"
        self._wanted = wanted
        self._wall, self._steady = wall, steady
        self._card, self._machine = Card(), Machine()
        self._opened, self._lost_until = False, 0.0
        self._before = (steady(), manager.tally.tokens, manager.tally.finished)

    @property
    def device_name(self) -> str:
        """Of the card; empty for the machine."""
        return self._card.name

    async def run(self) -> None:
        """Sample until cancelled. The driver is let go with the process, for a thread may read."""
        due = self._steady()
        while True:
            await self.take()
            # A second that was missed, the machine being asleep or very busy, is not made up.
            due = max(due + SECOND, self._steady())
            await asyncio.sleep(due - self._steady())

    async def take(self) -> Sample:
        """One sample, now."""
        pid = self.manager.pid
        reading = await asyncio.to_thread(self._read, pid)
        sample = self._put_together(reading)
        self.latest = sample
        self.history.add(sample)
        if self.threshold.see(sample):
            await self._warn(sample, pid)
        return sample

    def _read(self, pid: int | None) -> Reading:
        if not self._opened:
            self._opened = True
            if self._wanted != "cpu" and self._card.open():
                self.device = "cuda"
        if self.device == "cpu":
            return self._machine.read(pid)
        if self._lost_until and (self._steady() < self._lost_until or not self._card.open()):
            self._lost_until = max(self._lost_until, self._steady() + RETRY_SECONDS)
            return Reading()
        try:
            reading = self._card.read(pid)
        except DeviceUnusable as error:
            if not self._lost_until:
                log.warning("%s The monitor goes on without its readings.", error.message)
            self._lost_until = self._steady() + RETRY_SECONDS
            return Reading()
        if self._lost_until:
            log.info("the NVIDIA driver answers again")
            self._lost_until = 0.0
        return reading

    def _put_together(self, reading: Reading) -> Sample:
        status, tally, now = self.manager.status(), self.manager.tally, self._steady()
        before, tokens, finished = self._before
        self._before = (now, tally.tokens, tally.finished)
        ended = min(tally.finished - finished, len(tally.first_tokens))
        info = status.info
        # Of a model on another server nothing lies here.
        here = info is not None and info.checkpoint.family != "external"
        weights, cache = (info.weights_bytes, info.cache_bytes) if info and here else (0, 0)
        return Sample(
            **asdict(reading),
            **asdict(split(reading.memory_used, reading.engine, weights, cache)),
            time=self._wall(),
            tokens_per_second=per_second(tokens, tally.tokens, now - before),
            first_token=fmean(list(tally.first_tokens)[-ended:]) if ended else None,
            running=status.running,
            waiting=status.waiting,
        )

    async def _warn(self, sample: Sample, pid: int | None) -> None:
        where = "card" if self.device == "cuda" else "machine"
        if not self.threshold.crossed:
            self.warning = None
            log.info("the memory of the %s is below its threshold again", where)
            return
        self.warnings += 1
        biggest = await asyncio.to_thread(self._biggest, pid)
        self.warning = MemoryWarning(self.warnings, sample, biggest)
        log.warning(
            "the memory of the %s is nearly full: %d of %d bytes in use (weights %d, KV cache %d)",
            *(where, sample.memory_used, sample.memory_total, sample.weights, sample.cache),
        )

    def _biggest(self, pid: int | None) -> Program | None:
        return self._card.biggest(pid) if self.device == "cuda" else None
