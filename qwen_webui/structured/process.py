"""The checking process seen from the web process: started when needed, killed when late."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from qwen_webui.structured.values import Problem
from qwen_webui.structured.wire import Job, Result

log = logging.getLogger(__name__)

PROGRAM = "qwen_webui.structured.checker"
# The process ends itself after 1.6 s of one job; this is for one that could not.
ANSWER_SECONDS = 2.5
START_SECONDS = 60.0
_LONGEST_LINE = 2**22
# Of what the process said before it ended.
_LAST_BYTES, _LAST_LINES = 4_000, 5


class CheckerLost(Exception):
    """The process ended, or was ended, over a job. `blame` is what was likely the reason."""

    blame: Problem | None = None


class Checker:
    """At most one process, and one job at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process is not None else None

    async def ask(self, job: Job) -> Result:
        """The result of one job. Raises CheckerLost, and what the job raised. Not to be called
        again before it returns."""
        began = time.monotonic()
        try:
            process = await self._ready()
            # What a job reads is no part of its time; asked again, it is there already.
            for need in _needs(job):
                (await self._answered(process, need, START_SECONDS)).raised()
            seconds = START_SECONDS if job.work == "read" else ANSWER_SECONDS
            return (await self._answered(process, job, seconds)).raised()
        except CheckerLost:
            seconds, lost = time.monotonic() - began, self._process
            said = await self._end()
            # -14: it ended itself because time was up. 1: an error in it that nobody expected.
            code = lost.returncode if lost is not None else None
            log.warning(
                "the checker ended (%s) after %.1f s of a %s job%s", code, seconds, job.work, said
            )
            raise
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """End the process. Harmless twice; the next job starts another."""
        await self._end()

    async def _end(self) -> str:
        """What the process wrote last before its end, for the log."""
        process, self._process = self._process, None
        if process is None:
            return ""
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        assert process.stdin is not None and process.stderr is not None, "asked for as pipes"
        process.stdin.close()
        said = await process.stderr.read()
        await process.wait()
        lines = said[-_LAST_BYTES:].decode(errors="replace").splitlines()[-_LAST_LINES:]
        return "".join(f"\n    {line}" for line in lines)

    async def _ready(self) -> Process:
        """A process that has begun, which is no part of a job's time."""
        if self._process is None or self._process.returncode is not None:
            await self.close()
            self._process = await _started()
            await self._heard(self._process, START_SECONDS)
        return self._process

    async def _answered(self, process: Process, job: Job, seconds: float) -> Result:
        assert process.stdin is not None, "asked for as a pipe"
        try:
            process.stdin.write(f"{job.line()}\n".encode())
            await process.stdin.drain()
        except ConnectionError as error:
            raise CheckerLost from error
        if job.work != "prepare":
            return await self._heard(process, seconds)
        first = await self._heard(process, seconds)
        try:
            return await self._heard(process, seconds)
        except CheckerLost as lost:
            lost.blame = next(iter(first.problems), None)
            raise

    async def _heard(self, process: Process, seconds: float) -> Result:
        assert process.stdout is not None, "asked for as a pipe"
        try:
            async with asyncio.timeout(seconds):
                line = await process.stdout.readline()
        except TimeoutError as error:
            raise CheckerLost from error
        if not line.endswith(b"\n"):
            raise CheckerLost
        return Result.of_line(line)


def _needs(job: Job) -> tuple[Job, ...]:
    if job.work == "check":
        return (Job("read"),)
    return (Job("read", folder=job.folder),) if job.work == "prepare" and job.folder else ()


async def _started() -> Process:
    # Nothing is fetched, and nothing of the person's environment is needed but the search path.
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=_LONGEST_LINE,
        env={**os.environ, "PYTHONPATH": _search_path(), "RAYON_NUM_THREADS": "1"},
    )


def _search_path() -> str:
    found = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return f"{found}{os.pathsep}{before}" if before else found
