"""Measures on this machine and tells how far it is; after every figure the files are whole.

The formulas are measure/speed's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from qwen_webui.checkpoints import Library
from qwen_webui.command_bench.question import BenchQuestion
from qwen_webui.engines.base import EngineLoader
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.measure.speed.lengths import fitted
from qwen_webui.measure.speed.measurement import Fetch, Plan, Tell, measure
from qwen_webui.measure.speed.newest import FOLDER, PATH_SETTING
from qwen_webui.measure.speed.report import SpeedReport
from qwen_webui.measure.speed.writing import console, json_text, write_report
from qwen_webui.measure.surroundings import Conditions, hardware, versions
from qwen_webui.memory import machine_memory
from qwen_webui.settings import Settings, prepare_data_dir
from qwen_webui.types import CheckpointSpec, MemoryUse, Progress


async def measure_here(
    settings: Settings,
    question: BenchQuestion,
    out: TextIO,
    err: TextIO,
    loader: EngineLoader | None = None,
) -> int:
    """Measure, print the tables, and write the files. Returns the exit code: 1 if anything failed.
    `loader` is the seam for tests. Stopped in the middle, the figures so far stay written."""
    question.check()
    data = prepare_data_dir(settings.data_dir)
    library = Library(
        data / "models",
        hub=settings.hub,
        endpoint=settings.hub_endpoint,
        offline=settings.offline,
    )
    model, specs = question.checkpoints(library, settings.model)
    machine = machine_memory(settings.device)
    plan, clipped = _plan(settings, question, specs, machine)
    conditions = _conditions(settings, question, machine)
    report = SpeedReport(model, conditions, None, clipped, (), complete=False)
    folder, name = question.out or data / FOLDER, _file_name(model)

    def tell(line: str) -> None:
        print(line, file=err, flush=True)

    def keep(now: SpeedReport) -> None:
        nonlocal report
        report = now
        write_report(report, folder, name)

    for note in clipped:
        tell(note)
    found = loader or ProcessLoader(settings.stall_seconds)
    try:
        await measure(plan, report, found, _fetch(library, tell), tell, keep)
    finally:
        await found.close()
        if report.rows:
            print(json_text(report) if question.as_json else console(report), file=out)
            tell(f"Written: {folder / name}.json, .csv and .md")
    return 1 if report.failed else 0


def _plan(
    settings: Settings,
    question: BenchQuestion,
    specs: tuple[CheckpointSpec, ...],
    machine: MemoryUse,
) -> tuple[Plan, tuple[str, ...]]:
    """With what was clipped."""
    inputs, output, shortened = question.lengths(machine.device)
    context = min(spec.shape.context_length for spec in specs)
    lengths, clipped = fitted(inputs, output, context)
    plan = Plan(
        specs=specs,
        lengths=lengths,
        at_once=tuple(dict.fromkeys(question.concurrency)),
        repeat=question.repeat,
        device=machine.device,
        dtype=None if settings.dtype == "auto" else settings.dtype,
        engine_path=settings.engine_path,
    )
    return plan, (*shortened, *clipped)


def _conditions(settings: Settings, question: BenchQuestion, machine: MemoryUse) -> Conditions:
    return Conditions(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=question.command(settings, machine.device),
        hardware=hardware(machine),
        versions=versions(),
        settings={
            PATH_SETTING: settings.engine_path,
            "dtype": settings.dtype,
            "repeats": str(question.repeat),
        },
    )


def _file_name(model: str) -> str:
    return f"speed-{re.sub('[^A-Za-z0-9._-]+', '-', model)}"


def _fetch(library: Library, tell: Tell) -> Fetch:
    async def fetch(spec: CheckpointSpec) -> Path:
        return await library.fetch(spec, _downloads(spec, tell))

    return fetch


def _downloads(spec: CheckpointSpec, tell: Tell) -> Callable[[Progress], None]:
    """Tells how far a download is, a line a percent."""
    told = -1

    def report(at: Progress) -> None:
        nonlocal told
        percent = 100 * at.done // at.total if at.total else 0
        if percent != told:
            told = percent
            tell(f"{spec.name}: {percent} % of {at.total / 2**20:.0f} MiB")

    return report
