"""The process that compiles untrusted schemas and checks answers against them:
`python -m qwen_webui.structured.checker`.

A process of its own because neither a compiler nor a backtracking `pattern` can be stopped in a
thread. The system ends it when a job takes too long or too much memory, whatever it is doing, and
when its standard input closes. It has no use for the network and never opens it.
"""

from __future__ import annotations

import importlib
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections import OrderedDict
from pathlib import Path

from llguidance import LLTokenizer

from qwen_webui.errors import SchemaRefused, WebUIError
from qwen_webui.structured.alphabet import Alphabet
from qwen_webui.structured.blame import heaviest
from qwen_webui.structured.closing import needed_tokens
from qwen_webui.structured.compiling import compiled
from qwen_webui.structured.hints import hints
from qwen_webui.structured.reading import read_schema_text
from qwen_webui.structured.values import last
from qwen_webui.structured.vocabulary import byte_vocabulary, read_vocabulary
from qwen_webui.structured.walk import problems_of
from qwen_webui.structured.wire import Job, Result

JOB_SECONDS = 1.6
# Imported by a "read" job: its format checkers take a second, which no schema need wait for.
VALIDATING = "qwen_webui.structured.validating"
# Far above what a vocabulary of 150,000 entries takes, which is about 200 MB.
MEMORY = 1_500 * 2**20
STACK = 256 * 2**20
RECURSION = 30_000
KEPT_VOCABULARIES = 2


class _Vocabularies:
    """The last few, by folder and the time its tokenizer.json was written."""

    def __init__(self) -> None:
        self.byte = byte_vocabulary()
        self._kept: OrderedDict[tuple[str, int], tuple[LLTokenizer, Alphabet]] = OrderedDict()

    def get(self, folder: str) -> tuple[LLTokenizer, Alphabet]:
        path = Path(folder)
        try:
            key = (folder, (path / "tokenizer.json").stat().st_mtime_ns)
        except OSError:
            key = (folder, 0)
        if key not in self._kept:
            vocabulary = read_vocabulary(path)
            self._kept[key] = vocabulary, Alphabet(vocabulary)
            while len(self._kept) > KEPT_VOCABULARIES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def answer(job: Job, vocabularies: _Vocabularies) -> Result:
    """Do one job. Raises WebUIError for what it refuses."""
    if job.work == "read":
        if job.folder is None:
            importlib.import_module(VALIDATING)
        else:
            vocabularies.get(job.folder)
        return Result()
    if job.work == "inspect":
        return Result(problems=tuple(problems_of(read_schema_text(job.value))))
    if job.work == "check":
        importlib.import_module(VALIDATING).check(job.constraint, job.text)
        return Result()
    if job.folder is None:
        compiled(job.constraint, vocabularies.byte)
        return Result()
    vocabulary, alphabet = vocabularies.get(job.folder)
    grammar = compiled(job.constraint, vocabulary)
    needed = needed_tokens(grammar, alphabet, hints(job.constraint))
    if needed is None:
        place = next((problem.place for problem in _blame(job).problems), "#")
        likely = "" if place == "#" else f" The likely reason is `{last(place)}` at {place}."
        raise SchemaRefused(
            "No short answer that keeps to the constraint could be found, so that none could be "
            f"ended in time.{likely} Simplify its patterns, bound what may stand before a part "
            "that must be there (.{0,20} instead of .*), and lower its counts.",
            code="schema_unsupported",
            param=place,
        )
    return Result(needed_tokens=needed)


def _blame(job: Job) -> Result:
    found = heaviest(job.value) if job.kind == "json_schema" else None
    return Result(problems=() if found is None else (found,))


def _serve(lines: queue.SimpleQueue[str]) -> None:
    vocabularies = _Vocabularies()
    print(Result().line(), flush=True)
    while True:
        job = Job.of_line(lines.get())
        if job.work != "read":
            # Unhandled on purpose: the system ends the process even inside foreign code.
            signal.setitimer(signal.ITIMER_REAL, JOB_SECONDS)
        if job.work == "prepare":
            print(_blame(job).line(), flush=True)
        try:
            result = answer(job, vocabularies)
        except WebUIError as error:
            result = Result.of_error(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(result.line(), flush=True)


def _serve_or_end(lines: queue.SimpleQueue[str]) -> None:
    """An error nobody expected ends the process; the job counts as refused."""
    try:
        _serve(lines)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(1)


def main() -> int:
    """Answer jobs until standard input closes."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Answers of a schema that refers to itself may nest deep, and checking them is recursive.
    sys.setrecursionlimit(RECURSION)
    threading.stack_size(STACK)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_serve_or_end, args=(lines,), daemon=True).start()
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
