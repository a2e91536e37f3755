"""One answer while it is being written: what waits, what is kept, how it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from qwen_webui.chat import Assistant
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import GenerationFailed
from qwen_webui.models import ModelManager
from qwen_webui.personas import Personas, builtin_folder
from qwen_webui.structured import Structured
from qwen_webui.types import ChatTurn, ModelStatus, Progress, Queued
from qwen_webui.ui.answering import Answers, RunningAnswer
from tests.serving import FakeLibrary, make_manager, soon

TURN = ChatTurn("How are you?")


@asynccontextmanager
async def answering(
    folder: Path, script: Script, *, load: bool = True
) -> AsyncIterator[tuple[Answers, ModelManager, ScriptedLoader]]:
    loader = ScriptedLoader(Script(load_delay=script.load_delay))
    manager = make_manager(FakeLibrary(folder), loader, max_running=1)
    if load:
        await manager.load("one")
        # Not before: every load ends with a short answer.
        loader.script = script
    structured = Structured()
    assistant = Assistant(manager, Personas.load(builtin_folder()), structured)
    yield Answers(assistant, manager), manager, loader
    await manager.close()
    await structured.close()


async def ended(running: RunningAnswer) -> None:
    async with asyncio.timeout(10):
        await running.ended()


async def test_an_answer_with_its_usage(tmp_path: Path) -> None:
    async with answering(tmp_path, Script()) as (answers, _, _):
        running = answers.begin("tab", TURN)
        assert answers.is_running("tab") and not answers.is_running("other")
        await ended(running)
        got = running.answer
        assert (got.text, got.reason, got.error) == ("Echo: How are you?", "stop", None)
        assert got.usage is not None and got.usage.completion_tokens == got.tokens == 4
        assert (got.model, got.precision, got.done) == ("one", "fp16", True)
        await answers.end("tab", running)
        assert not answers.is_running("tab")


async def test_stop_in_the_prefill_and_mid_stream(tmp_path: Path) -> None:
    script = Script(words=("word",) * 1000, delay=0.01, prefill=60.0)
    async with answering(tmp_path, script) as (answers, _, loader):
        running = answers.begin("tab", TURN)
        await soon(lambda: isinstance(running.waits_for, Progress))
        answers.stop("tab")
        await soon(lambda: loader.running == 0, 1.0)
        assert running.answer.stopped and running.answer.text == "" and not running.answer.usage
        await answers.end("tab", running)
        loader.script = Script(words=("word",) * 1000, delay=0.01)
        running = answers.begin("tab", TURN)
        await soon(lambda: len(running.answer.text) > 20)
        answers.stop("somebody else")
        assert loader.running == 1
        answers.stop("tab")
        await soon(lambda: loader.running == 0, 1.0)
        await ended(running)
        got = running.answer
        assert got.stopped and got.text.startswith("word word") and got.reason is None
        assert got.usage is not None and got.usage.completion_tokens == got.tokens > 0
        assert got.usage.prompt_tokens > 0 and got.usage.seconds > 0


async def test_leaving_marks_the_answer_and_frees_the_tab(tmp_path: Path) -> None:
    async with answering(tmp_path, Script(prefill=60.0)) as (answers, _, loader):
        running = answers.begin("tab", TURN)
        await soon(lambda: loader.running == 1)
        await answers.leave("tab")
        assert running.left and running.answer.done and loader.running == 0
        second = answers.begin("tab", TURN)
        # The first one's handler ends late and must not end the second.
        await answers.end("tab", running)
        assert answers.is_running("tab") and not second.answer.done
        await answers.end("tab", second)


async def test_the_place_in_the_line(tmp_path: Path) -> None:
    async with answering(tmp_path, Script(prefill=60.0)) as (answers, _, loader):
        first = answers.begin("one", TURN)
        await soon(lambda: loader.running == 1)
        second = answers.begin("two", TURN)
        await soon(lambda: second.waits_for == Queued(1))
        await answers.end("two", second)
        await answers.end("one", first)


async def test_a_question_before_the_first_load_waits_for_it(tmp_path: Path) -> None:
    script = Script(load_delay=0.5)
    async with answering(tmp_path, script, load=False) as (answers, manager, _):
        manager.start_load("one")
        running = answers.begin("tab", TURN)
        await soon(lambda: isinstance(running.waits_for, ModelStatus))
        await ended(running)
        assert running.answer.text == "Echo: How are you?"
        await answers.end("tab", running)


async def test_without_a_model_on_the_way_it_is_an_error(tmp_path: Path) -> None:
    async with answering(tmp_path, Script(), load=False) as (answers, _, _):
        running = answers.begin("tab", TURN)
        await ended(running)
        assert running.answer.error is not None
        assert running.answer.error.code == "model_not_ready"
        await answers.end("tab", running)


async def test_an_error_keeps_what_came(tmp_path: Path) -> None:
    script = Script(words=tuple("abcdef"), fail_at=3, error=GenerationFailed("Broken."))
    async with answering(tmp_path, script) as (answers, _, _):
        running = answers.begin("tab", TURN)
        await ended(running)
        got = running.answer
        assert got.text == "a b c" and got.usage is not None and got.usage.completion_tokens == 3
        assert got.error is not None and got.error.message == "Broken." and not got.stopped
        await answers.end("tab", running)


async def test_rest_lets_changes_gather_but_not_the_first_word_or_the_end(tmp_path: Path) -> None:
    script = Script(words=("word",) * 6, delay=0.05, prefill=0.2)
    async with answering(tmp_path, script) as (answers, _, _):
        loop = asyncio.get_running_loop()
        running = answers.begin("tab", TURN)
        begun = loop.time()
        await running.rest(60)
        assert running.answer.text and loop.time() - begun < 10
        await running.rest(60)
        assert running.answer.done and loop.time() - begun < 20
        await answers.end("tab", running)
