"""The monitor: what it reads, how it puts it together, what it keeps and when it warns."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.measure.monitor import HOUR, History, Monitor, Program, Sample
from qwen_webui.measure.monitor.values import Split, per_second, split
from qwen_webui.measure.monitor.warning import GAP, Threshold
from qwen_webui.models import ModelManager
from qwen_webui.types import GenerationRequest, Message, Sampling
from tests.nvml import GIB, FakeNvml
from tests.serving import MEGABYTES, managing

NOBODY = (1 << 22) + 1  # no process has this number


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def watching(
    folder: Path, wanted: str = "auto", percent: float = 92.0, script: Script | None = None
) -> AsyncIterator[tuple[Monitor, ModelManager, Clock]]:
    clock = Clock()
    async with managing(folder, ScriptedLoader(script)) as (manager, _, _):
        yield Monitor(manager, wanted, percent, wall=clock, steady=clock), manager, clock


async def answer(manager: ModelManager) -> None:
    request = GenerationRequest("r", (Message("user", "Hi"),), Sampling())
    async for _ in manager.stream(request):
        pass


def test_memory_is_split_by_hand_worked_cases() -> None:
    # 20 in use, 14 of them ours: 10 weights, 3 cache, 1 rest, 6 of others.
    assert split(20, 14, 10, 3) == Split(10, 3, 1, 6)
    # What the engine holds is not told: all that is neither weights nor cache is others'.
    assert split(20, None, 10, 3) == Split(10, 3, None, 7)
    # Files that are mapped but not read: 4 of 10 are in memory.
    assert split(20, 4, 10, 3) == Split(4, 0, 0, 16)
    assert split(20, 25, 10, 3) == Split(10, 3, 7, 0)
    assert split(None, 14, 10, 3) == Split()


def test_rates_by_hand_worked_cases() -> None:
    assert per_second(100, 150, 2.0) == 25.0
    assert per_second(150, 150, 1.0) == 0.0
    assert per_second(100, 150, 0.0) is None


def test_history_keeps_an_hour_and_no_more() -> None:
    history = History()
    for second in range(HOUR + 50):
        history.add(Sample(time=float(second), memory_used=float(second)))
    assert len(history) == HOUR
    whole = history.series(0.0, 1.0)
    assert whole.times == tuple(float(second) for second in range(50, HOUR + 50))
    assert whole.columns["memory_used"] == whole.times


def test_a_point_is_the_mean_and_of_memory_the_fullest_moment() -> None:
    history = History()
    for second, used, speed, delay in (
        (20, 5.0, 10.0, None),
        (21, 9.0, 20.0, 0.5),
        (22, 7.0, 60.0, 1.5),
        (31, None, None, None),
    ):
        history.add(
            Sample(
                time=float(second),
                memory_used=used,
                weights=used and used - 1,
                others=used and 1.0,
                tokens_per_second=speed,
                first_token=delay,
            )
        )
    series = history.series(0.0, 10.0)
    assert series.times == (20.0, 30.0)
    assert series.columns["memory_used"] == (9.0, None)
    assert series.columns["weights"] == (8.0, None)
    assert series.columns["tokens_per_second"] == (30.0, None)
    assert series.columns["first_token"] == (1.0, None)
    assert history.series(22.0, 1.0).times == (22.0, 31.0)


def test_the_threshold_is_crossed_once_and_left_only_clearly() -> None:
    threshold = Threshold(92.0)

    def sees(percent: float | None) -> tuple[bool, bool]:
        used = None if percent is None else percent
        return threshold.see(Sample(memory_used=used, memory_total=100.0)), threshold.crossed

    assert sees(91.9) == (False, False)
    assert sees(92.0) == (True, True)
    assert sees(95.0) == (False, True)
    assert sees(92.0 - GAP) == (False, True)
    assert sees(None) == (False, True)
    assert sees(92.0 - GAP - 0.1) == (True, False)
    assert sees(91.0) == (False, False)
    assert sees(99.0) == (True, True)


async def test_a_card_is_read_with_all_that_dmon_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeNvml(processes=[(NOBODY, GIB)]).install(monkeypatch)
    async with watching(tmp_path) as (monitor, _, clock):
        found = await monitor.take()
    assert (monitor.device, monitor.device_name) == ("cuda", "A Card")
    assert found == Sample(
        time=clock.now,
        memory_used=6 * GIB,
        memory_total=24 * GIB,
        engine=None,
        weights=50 * MEGABYTES,
        cache=0,
        rest=None,
        others=6 * GIB - 50 * MEGABYTES,
        utilisation=71,
        memory_utilisation=33,
        power=215.5,
        temperature=64,
        sm_clock=1980,
        memory_clock=2619,
    )


async def test_what_the_worker_holds_on_the_card_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml(processes=[(4711, GIB), (NOBODY, 2 * GIB)]).install(monkeypatch)
    monkeypatch.setattr(ScriptedLoader, "pid", 4711)
    async with watching(tmp_path) as (monitor, _, _):
        found = await monitor.take()
        nvml.processes = [(4711, None)]
        untold = await monitor.take()
    assert (found.engine, found.rest) == (GIB, GIB - 50 * MEGABYTES)
    assert found.others == 5 * GIB
    assert (untold.engine, untold.rest) == (None, None)


async def test_what_a_card_does_not_support_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("GetMemoryInfo", "GetUtilizationRates", "GetPowerUsage", "GetTemperature")
    more = ("GetClockInfo", "GetComputeRunningProcesses", "GetGraphicsRunningProcesses")
    missing = {f"nvmlDevice{name}" for name in (*names, *more)}
    FakeNvml(missing=missing).install(monkeypatch)
    async with watching(tmp_path) as (monitor, _, clock):
        assert await monitor.take() == Sample(time=clock.now)
    assert monitor.device == "cuda"


async def test_a_driver_that_goes_away_is_said_once_and_may_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nvml = FakeNvml().install(monkeypatch)
    caplog.set_level(logging.INFO, "qwen_webui.measure.monitor")
    async with watching(tmp_path) as (monitor, _, clock):
        await monitor.take()
        nvml.gone = True
        for _ in range(40):
            clock.now += 1
            assert (await monitor.take()).memory_used is None
        # Not every second: what is broken is tried again now and then.
        assert nvml.asked < 40
        nvml.gone = False
        clock.now += 60
        assert (await monitor.take()).memory_used == 6 * GIB
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "does not answer" in said[0] and "answers again" in said[1]
    assert nvml.opened == 2


async def test_without_a_card_the_machine_is_read(tmp_path: Path) -> None:
    async with watching(tmp_path, "cpu") as (monitor, _, clock):
        await monitor.take()
        clock.now += 1
        found = await monitor.take()
    assert monitor.device == "cpu"
    assert found.memory_used and found.memory_total and found.engine
    assert MEGABYTES < found.engine < found.memory_used < found.memory_total
    held = (found.weights, found.cache, found.rest, found.others)
    assert sum(part or 0 for part in held) == found.memory_used
    assert found.utilisation is not None and 0 <= found.utilisation <= 100
    assert (found.power, found.temperature, found.sm_clock) == (None, None, None)


async def test_tokens_and_delays_are_those_since_the_sample_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeNvml().install(monkeypatch)
    words = ("one", "two", "three", "four", "five", "six")
    async with watching(tmp_path, script=Script(words=words)) as (monitor, manager, clock):
        await answer(manager)
        clock.now += 2
        first = await monitor.take()
        clock.now += 1
        idle = await monitor.take()
        await answer(manager)
        await answer(manager)
        clock.now += 4
        later = await monitor.take()
    tokens = manager.tally.tokens
    assert tokens >= 3 * len(words) and tokens % 3 == 0
    assert first.tokens_per_second == tokens / 3 / 2
    assert (idle.tokens_per_second, idle.first_token) == (0.0, None)
    assert later.tokens_per_second == tokens * 2 / 3 / 4
    delays = list(manager.tally.first_tokens)
    assert first.first_token == delays[0]
    assert later.first_token == pytest.approx((delays[1] + delays[2]) / 2)


async def test_a_crossing_warns_once_and_names_the_biggest_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    others = [(NOBODY, 3 * GIB), (NOBODY + 1, GIB), (os.getpid(), 9 * GIB), (NOBODY + 2, None)]
    nvml = FakeNvml(used=23 * GIB, processes=others).install(monkeypatch)
    caplog.set_level(logging.INFO, "qwen_webui.measure.monitor")
    async with watching(tmp_path) as (monitor, _, clock):
        for _ in range(3):
            clock.now += 1
            await monitor.take()
        assert monitor.warning is not None and monitor.warnings == 1
        assert monitor.warning.biggest == Program("render", 3 * GIB)
        assert monitor.warning.sample.memory_used == 23 * GIB
        nvml.used = 12 * GIB
        await monitor.take()
        assert monitor.warning is None
        nvml.used = 24 * GIB
        await monitor.take()
        assert monitor.warning is not None and monitor.warning.number == 2
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING"]
