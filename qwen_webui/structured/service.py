"""Constraints as the web process deals with them: refused or prepared before an answer, checked
after it. Everything that a schema could make slow happens in the checking process."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from pathlib import Path

from qwen_webui.errors import GenerationFailed, Overloaded, SchemaRefused, WebUIError
from qwen_webui.structured.process import Checker, CheckerLost
from qwen_webui.structured.values import MAX_CHARACTERS, Prepared, Problem, located
from qwen_webui.structured.wire import Job, Result
from qwen_webui.types import Constraint

log = logging.getLogger(__name__)

KEPT_VERDICTS = 1_000
MAX_WAITING = 64
TOO_COSTLY = (
    "The constraint takes too much time or memory to prepare. Use fewer nested alternatives, "
    "shorter patterns and smaller counts."
)


class Structured:
    """The web process's constraints. One job at a time in one process that can be killed."""

    def __init__(self) -> None:
        self._checker = Checker()
        self._turn = asyncio.Lock()
        self._jobs: set[asyncio.Task[Result]] = set()
        # Digests and short sentences only, so the number bounds the memory.
        self._verdicts: OrderedDict[bytes, Prepared | SchemaRefused] = OrderedDict()

    @property
    def checker_pid(self) -> int | None:
        """Of the process that checks now; None before the first job and after close."""
        return self._checker.pid

    @property
    def kept(self) -> int:
        """How many verdicts are remembered."""
        return len(self._verdicts)

    async def read_ahead(self, folder: Path | None) -> None:
        """Start the process and let it read what the first answer would wait for. A failure is
        told to whom it concerns: the first who asks."""
        try:
            await self._ask(Job("read", folder=str(folder) if folder else None))
            await self._ask(Job("read"))
        except (WebUIError, CheckerLost) as error:
            log.info("constraints could not be read ahead: %s", error)

    async def prepare(self, constraint: Constraint, folder: Path | None) -> Prepared:
        """Raises SchemaRefused for a constraint that cannot be held, within two seconds of its
        turn. `folder` is the loaded checkpoint's; without one, tokens are not counted."""
        _refuse_huge(constraint.value)
        key = _digest(constraint, folder)
        verdict = self._verdicts.get(key)
        if verdict is None:
            try:
                verdict = await self._verdict(constraint, folder)
            except CheckerLost as lost:
                # Not remembered: a busy machine, or who killed the process, is to blame as well.
                raise _too_costly(lost) from lost
            self._verdicts[key] = verdict
            while len(self._verdicts) > KEPT_VERDICTS:
                self._verdicts.popitem(last=False)
        else:
            self._verdicts.move_to_end(key)
        if isinstance(verdict, SchemaRefused):
            raise SchemaRefused(verdict.message, code=verdict.code, param=verdict.param)
        return verdict

    async def inspect(self, text: str, folder: Path | None = None) -> tuple[Problem, ...]:
        """Everything wrong with a schema's text, for an editor. Empty when it can be held, by the
        checkpoint in `folder` if one is given."""
        try:
            _refuse_huge(text)
            found = (await self._ask(Job("inspect", value=text))).problems
            if not found:
                await self.prepare(Constraint("json_schema", text), folder)
            return found
        except SchemaRefused as error:
            return (Problem(error.param or "#", error.message, error.code),)
        except CheckerLost:
            return (Problem("#", TOO_COSTLY, "schema_too_large"),)

    async def check(self, constraint: Constraint, text: str) -> None:
        """Raises GenerationFailed (invalid_output) for a finished answer that is not valid."""
        if constraint.kind == "tools":
            return
        try:
            await self._ask(Job("check", constraint.kind, constraint.value, text=text))
        except CheckerLost as error:
            raise GenerationFailed(
                "The answer could not be checked in time: a pattern of the schema takes too long "
                "on it. Simplify the pattern.",
                code="invalid_output",
            ) from error

    async def close(self) -> None:
        """End the process, and whatever waits for it."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._checker.close()

    async def _verdict(
        self, constraint: Constraint, folder: Path | None
    ) -> Prepared | SchemaRefused:
        job = Job("prepare", constraint.kind, constraint.value, str(folder) if folder else None)
        try:
            return Prepared((await self._ask(job)).needed_tokens)
        except SchemaRefused as error:
            return error.with_traceback(None)

    async def _ask(self, job: Job) -> Result:
        if len(self._jobs) >= MAX_WAITING:
            raise Overloaded(
                "Too many schemas wait to be checked. Try again in a few seconds.", retry_after=5
            )
        task = asyncio.create_task(self._run(job), name="structured-job")
        self._jobs.add(task)
        task.add_done_callback(self._forget)
        # A job whose asker is gone still ends by itself: to break off is to lose the process.
        return await asyncio.shield(task)

    async def _run(self, job: Job) -> Result:
        async with self._turn:
            return await self._checker.ask(job)

    def _forget(self, task: asyncio.Task[Result]) -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody's error is not reported as forgotten


def _too_costly(lost: CheckerLost) -> SchemaRefused:
    if lost.blame is None:
        return SchemaRefused(TOO_COSTLY, code="schema_too_large", param="#")
    said = located(lost.blame.sentence, lost.blame.place)
    return SchemaRefused(said, code=lost.blame.code, param=lost.blame.place)


def _refuse_huge(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise SchemaRefused(
            f"The schema has {len(text):,} characters; at most {MAX_CHARACTERS:,} are taken. "
            "Shorten its descriptions or split it.",
            code="schema_too_large",
            param="#",
        )


def _digest(constraint: Constraint, folder: Path | None) -> bytes:
    said = f"{constraint.kind}\0{folder}\0{constraint.value}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()
