"""Measures on this machine and tells how far it is; after every precision the files are whole.

The formulas are measure/fidelity's.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TextIO

from qwen_webui.checkpoints import Library
from qwen_webui.checkpoints.catalogue import demo_folder
from qwen_webui.command_fidelity.question import FidelityQuestion
from qwen_webui.engines.base import EngineLoader
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.measure.fidelity.heldout import tasks_for, texts_for
from qwen_webui.measure.fidelity.measurement import Plan, measure
from qwen_webui.measure.fidelity.report import FidelityReport, FidelityRow, Surroundings
from qwen_webui.measure.fidelity.store import FOLDER, ReferenceStore
from qwen_webui.measure.fidelity.tasks import chosen
from qwen_webui.measure.fidelity.texts import read_text
from qwen_webui.measure.fidelity.writing import json_text, table, write_report
from qwen_webui.measure.surroundings import hardware, versions
from qwen_webui.memory import machine_memory
from qwen_webui.models import ModelManager
from qwen_webui.settings import Settings, prepare_data_dir
from qwen_webui.types import CheckpointSpec, MemoryUse

# In the data folder; the newest report of a model takes the place of the one before.
REPORTS = "measurements"


async def measure_here(
    settings: Settings,
    question: FidelityQuestion,
    out: TextIO,
    err: TextIO,
    loader: EngineLoader | None = None,
) -> int:
    """Measure, print the table, and write the files. Returns the exit code: 1 if a precision
    failed. `loader` is the seam for tests. Stopped in the middle, the rows so far stay written."""
    question.check()
    data = prepare_data_dir(settings.data_dir)
    library = Library(
        data / "models",
        hub=settings.hub,
        endpoint=settings.hub_endpoint,
        offline=settings.offline,
    )
    reference, specs = question.checkpoints(library, settings.model)
    machine = machine_memory(settings.device)
    plan = _plan(settings, question, reference, specs, machine)
    report = FidelityReport(
        reference.name, _surroundings(settings, question, plan, machine), (), complete=False
    )
    folder = question.out or data / REPORTS
    name = f"fidelity-{re.sub('[^A-Za-z0-9._-]+', '-', reference.name)}"

    def keep(row: FidelityRow) -> None:
        nonlocal report
        report = replace(report, rows=(*report.rows, row))
        report = replace(report, complete=len(report.rows) == len(specs))
        write_report(report, folder, name)

    def tell(line: str) -> None:
        print(line, file=err, flush=True)

    manager = _manager(settings, library, loader or ProcessLoader(settings.stall_seconds))
    watching = asyncio.create_task(_downloads(manager, err))
    try:
        await measure(plan, manager, ReferenceStore(data / FOLDER), tell, keep)
    finally:
        watching.cancel()
        await manager.close()
        if report.rows:
            print(json_text(report) if question.as_json else table(report), file=out)
            tell(f"Written: {folder / name}.json, .csv and .md")
    return 1 if any(row.error for row in report.rows) else 0


def _plan(
    settings: Settings,
    question: FidelityQuestion,
    reference: CheckpointSpec,
    specs: tuple[CheckpointSpec, ...],
    machine: MemoryUse,
) -> Plan:
    conditions = {
        "device": machine.device_name,
        "dtype": settings.dtype,
        "engine path": settings.engine_path,
        **{name: version for name, version in versions().items() if name != "Python"},
    }
    tasks, what = tasks_for(reference.family, demo_folder() / "tasks.jsonl")
    own = (read_text(question.text),) if question.text else None
    texts = own or texts_for(reference.family, tasks)
    return Plan(
        reference=reference,
        specs=specs,
        texts=texts,
        tasks=chosen(tasks, question.tasks),
        tasks_name=what,
        tokens=question.tokens,
        top=question.top,
        conditions=conditions,
    )


def _surroundings(
    settings: Settings, question: FidelityQuestion, plan: Plan, machine: MemoryUse
) -> Surroundings:
    return Surroundings(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=question.command(settings),
        hardware=hardware(machine),
        versions=versions(),
        settings={
            "most positions": str(plan.tokens),
            "likeliest ids kept of each position": str(plan.top),
        },
        texts=tuple(text.label for text in plan.texts),
        tasks=f"{len(plan.tasks)} of {plan.tasks_name}",
    )


def _manager(settings: Settings, library: Library, loader: EngineLoader) -> ModelManager:
    return ModelManager(
        library,
        loader,
        device=settings.device,
        dtype=settings.dtype,
        max_context=None,
        engine_path=settings.engine_path,
        max_running=1,
        max_waiting=4,
        queue_timeout=60,
        drain_seconds=5,
    )


async def _downloads(manager: ModelManager, err: TextIO) -> None:
    """Tell how far a download is, a line a percent."""
    told, status = "", manager.status()
    while True:
        at = status.progress
        if status.state == "downloading" and at is not None and at.total:
            line = f"{status.target}: {100 * at.done // at.total} % of {at.total / 2**20:.0f} MiB"
            if line != told:
                print(told := line, file=err, flush=True)
        status = await manager.changed(status)
