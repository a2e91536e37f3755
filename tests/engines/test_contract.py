"""The promises of engines/base.py, held by every engine."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from qwen_webui.engines.base import Engine, EngineLoader, Report
from qwen_webui.engines.openai import OpenAILoader
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import (
    CheckpointError,
    ContextLengthExceeded,
    InvalidRequest,
    ModelSwitching,
    WebUIError,
)
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    Constraint,
    DistributionRequest,
    Distributions,
    Finished,
    LoadPlan,
    Progress,
    TextDelta,
)
from tests.engines.asking import endless, first_delta, reply, request
from tests.engines.checkpoints import plan
from tests.engines.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = Script(words=tuple(f"word{place}" for place in range(400)), delay=0.002)


class ReferencePath(ProcessLoader):
    """The same worker with generate() of transformers in it."""

    async def load(self, plan: LoadPlan, report: Report) -> Engine:
        return await super().load(dataclasses.replace(plan, engine_path="reference"), report)


@pytest_asyncio.fixture(
    loop_scope="module", scope="module", params=["scripted", "process", "reference", "openai"]
)
async def loader(
    request: pytest.FixtureRequest,
    tiny_folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EngineLoader]:
    """One of each kind, kept for all tests of this module; the last over a server of our own."""
    if request.param == "openai":
        async with upstream(tiny_folders["fp16"], tmp_path_factory.mktemp("upstream")) as url:
            other = OpenAILoader(url, stall_seconds=60)
            yield other
            await other.close()
        return
    found: EngineLoader = ScriptedLoader(SCRIPT)
    if request.param == "process":
        found = ProcessLoader(stall_seconds=60)
    if request.param == "reference":
        found = ReferencePath(stall_seconds=60)
    yield found
    await found.close()


@pytest_asyncio.fixture(loop_scope="module")
async def engine(loader: EngineLoader, tiny: Path) -> AsyncIterator[Engine]:
    """Freshly loaded."""
    found = await loader.load(plan(tiny), lambda _: None)
    yield found
    await found.close()


@pytest.fixture
def tokenizer(tiny: Path) -> ChatTokenizer:
    return ChatTokenizer.load(tiny)


async def test_events_come_in_order_and_counts_are_true(
    engine: Engine, tokenizer: ChatTokenizer
) -> None:
    asked = request(max_new_tokens=20)
    answer = await reply(engine, asked)
    kinds = [type(event) for event in answer.events]
    assert kinds == sorted(kinds, key=[Progress, TextDelta, Finished].index)
    assert kinds.count(Finished) == 1
    assert answer.text == tokenizer.decode(answer.ids)
    assert answer.usage.prompt_tokens == tokenizer.count_chat(asked.messages)
    assert answer.usage.completion_tokens == len(answer.ids) == 20
    assert 0 < answer.usage.seconds_to_first_token <= answer.usage.seconds


async def test_the_loaded_checkpoint_describes_itself(
    engine: Engine, tokenizer: ChatTokenizer, tiny: Path
) -> None:
    assert engine.checkpoint == plan(tiny).spec == engine.info.checkpoint
    assert engine.info.stop_ids == tokenizer.stop_ids
    assert engine.info.max_context == plan(tiny).max_context
    assert (engine.info.device, engine.info.dtype) == ("cpu", "float32")
    assert None not in dataclasses.astuple(engine.info.defaults)[:7]
    assert engine.info.kernel and engine.info.weights_bytes > 0 and engine.info.load_seconds > 0


async def test_a_cache_that_is_set_aside_holds_a_whole_context(
    engine: Engine, tiny: Path, request: pytest.FixtureRequest
) -> None:
    """In 32 bits here. Where each answer takes its own, none is told."""
    token = plan(tiny).spec.shape.kv_elements_per_token * 4
    told = divmod(engine.info.cache_bytes, token)
    if request.node.callspec.params["loader"] == "process":
        assert told[0] >= plan(tiny).max_context and told[1] == 0
    else:
        assert told == (0, 0)


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_max_new_tokens_ends_with_length(engine: Engine, limit: int) -> None:
    answer = await reply(engine, request(max_new_tokens=limit))
    assert (len(answer.ids), answer.reason) == (limit, "length")


async def test_a_full_context_ends_with_length(loader: EngineLoader, tiny: Path) -> None:
    asked = request(max_new_tokens=100)
    prompt = ChatTokenizer.load(tiny).count_chat(asked.messages)
    small = await loader.load(plan(tiny, max_context=prompt + 5), lambda _: None)
    try:
        answer = await reply(small, asked)
        assert (len(answer.ids), answer.reason) == (5, "length")
        longer = request(asked.messages[0].content + " sea" * 10)
        with pytest.raises(ContextLengthExceeded) as refused:
            await reply(small, longer)
        wanted = ChatTokenizer.load(tiny).count_chat(longer.messages)
        assert str(wanted) in refused.value.message
        assert str(prompt + 5) in refused.value.message
        with pytest.raises(ContextLengthExceeded):
            await small.score(range(prompt + 6))
    finally:
        await small.close()


async def test_stop_strings_across_tokens_never_show(engine: Engine) -> None:
    whole = await reply(engine, request(max_new_tokens=60))
    start = len(whole.deltas[0].text + whole.deltas[1].text)
    for stop in {whole.text[start : start + 5], whole.text[-4:-1], whole.text[3:6]}:
        cut = await reply(engine, request(max_new_tokens=60, stop=("never said!", stop)))
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.reason == "stop"
        assert cut.usage.completion_tokens == len(cut.ids) <= 60


async def test_the_beginning_of_a_stop_string_is_not_lost(engine: Engine) -> None:
    whole = await reply(engine, request(max_new_tokens=30))
    held = await reply(engine, request(max_new_tokens=30, stop=(whole.text[-3:] + "\x00",)))
    assert (held.text, held.reason) == (whole.text, whole.reason)


async def test_no_message_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequest):
        await reply(engine, dataclasses.replace(request(), messages=()))


async def test_a_raw_prompt_is_taken_as_it_is(engine: Engine, tokenizer: ChatTokenizer) -> None:
    asked = request(max_new_tokens=6)
    turn = f"<|im_start|>user\n{asked.messages[0].content}<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer.encode_prompt(turn)
    assert ids == tokenizer.encode_chat(asked.messages)
    raw = [dataclasses.replace(asked, messages=(), prompt=prompt) for prompt in (turn, tuple(ids))]
    found = [await reply(engine, one) for one in raw]
    assert all(one.usage.prompt_tokens == len(ids) for one in found)
    if engine.info.kernel != "scripted":
        whole = await reply(engine, asked)
        assert [one.text for one in found] == [whole.text, whole.text]
        # Another server tells no ids of a raw prompt's answer.
        unknown = () if engine.info.kernel.startswith("another server") else whole.ids
        assert [one.ids for one in found] == [unknown, unknown]
    for prompt in ("", (), (tokenizer.vocabulary,), (-1,)):
        with pytest.raises(InvalidRequest) as refused:
            await reply(engine, dataclasses.replace(asked, messages=(), prompt=prompt))
        assert refused.value.param == "prompt"


async def test_a_constrained_answer_is_whole_or_refused(
    loader: EngineLoader, engine: Engine
) -> None:
    if isinstance(loader, ScriptedLoader):
        loader.script = Script(words=('{"name": "Bob"}',))
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    constraint = Constraint("json_schema", json.dumps(schema))
    try:
        for seed in range(3):
            fields = {"constraint": constraint, "temperature": 1.0, "seed": seed}
            answer = await reply(engine, request(**fields, max_new_tokens=30))
            assert isinstance(json.loads(answer.text)["name"], str)
            assert answer.reason == "stop" and len(answer.ids) <= 30
        with pytest.raises(InvalidRequest) as refused:
            await reply(engine, request(constraint=constraint, max_new_tokens=3))
        assert (refused.value.code, refused.value.param) == ("budget_too_small", "max_new_tokens")
    finally:
        repair(loader)


async def test_logprobs_come_for_every_token_when_asked_for(engine: Engine) -> None:
    assert (await reply(engine, request())).logprobs == []
    answer = await reply(engine, request(logprobs=1, max_new_tokens=8))
    assert [found.token_id for found in answer.logprobs] == list(answer.ids)
    assert all(found.logprob <= 0 and len(found.top) == 1 for found in answer.logprobs)


async def test_score_gives_one_value_less_than_tokens(engine: Engine) -> None:
    values = await engine.score([5, 6, 7, 8, 9])
    assert len(values) == 4 and all(value < 0 for value in values)
    assert await engine.score([5]) == []
    with pytest.raises(InvalidRequest):
        await engine.score([])
    with pytest.raises(InvalidRequest, match="10000000"):
        await engine.score([5, 10_000_000, 6])
    with pytest.raises(InvalidRequest):
        await engine.score([5, -1, 6])
    assert len(await engine.score([5, 6])) == 1, "it still computes"


async def test_distributions_are_whole_and_agree_with_score(engine: Engine) -> None:
    ids = tuple(range(5, 45))
    asked = DistributionRequest(ids, start=10, top=7)
    if engine.info.kernel.startswith("another server"):
        with pytest.raises(InvalidRequest, match="--engine-url"):
            await engine.distributions(asked)
        return
    found = await engine.distributions(asked)
    assert (found.positions, found.width) == (29, 7)
    tokens, logprobs, tail, following, likeliest = numbers(found)
    assert (np.diff(logprobs) <= 1e-6).all(), "by falling probability"
    whole = np.exp(logprobs.astype(float)).sum(1) + np.exp(tail.astype(float))
    assert whole == pytest.approx(np.ones(29), abs=1e-5)
    assert list(following) == pytest.approx((await engine.score(ids))[10:], abs=1e-4)
    assert list(likeliest) == list(tokens[:, 0])
    again = await engine.distributions(dataclasses.replace(asked, at=tokens[:, ::-1].tobytes()))
    assert again.ids == tokens[:, ::-1].tobytes(), "the ids and the order that were asked for"
    assert numbers(again)[1] == pytest.approx(logprobs[:, ::-1], abs=1e-5)
    assert numbers(again)[2] == pytest.approx(tail, abs=1e-5)
    assert (again.following, again.likeliest) == (found.following, found.likeliest)


async def test_distributions_over_all_ids_leave_no_tail(engine: Engine) -> None:
    if engine.info.kernel.startswith("another server"):
        return
    found = await engine.distributions(DistributionRequest((5, 6, 7), start=0, top=8_192))
    tokens, logprobs, tail, _, _ = numbers(found)
    assert set(tokens[0]) == set(range(found.width)) and found.width < 8_192
    assert np.exp(logprobs.astype(float)).sum(1) == pytest.approx([1, 1], abs=1e-5)
    assert list(tail) == [-np.inf, -np.inf]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 40},
        {"start": -1},
        {"token_ids": tuple([5] * 300)},
        {"top": 0},
        {"top": 8_193},
        {"token_ids": (5, -1, 5), "start": 0},
        {"at": b"1234"},
        {"at": np.full((29, 7), 1 << 30, np.int32).tobytes()},
    ],
)
async def test_distributions_that_cannot_be_told_are_refused(
    engine: Engine, wrong: dict[str, Any]
) -> None:
    asked = DistributionRequest(tuple(range(5, 45)), start=10, top=7)
    with pytest.raises(InvalidRequest):
        await engine.distributions(dataclasses.replace(asked, **wrong))


async def test_two_at_once_answer_as_if_alone(engine: Engine) -> None:
    asked = [request("One!", max_new_tokens=40), request("再见。", max_new_tokens=40)]
    alone = [await reply(engine, one) for one in asked]
    together = await asyncio.gather(*(reply(engine, one) for one in asked))
    assert [one.text for one in together] == [one.text for one in alone]


async def test_closing_a_stream_leaves_the_engine_usable(engine: Engine) -> None:
    before = await reply(engine, request())
    unstarted = engine.stream(request(max_new_tokens=300))
    await unstarted.aclose()
    async with aclosing(engine.stream(request(max_new_tokens=300))) as events:
        await first_delta(events)
    assert (await reply(engine, request())).text == before.text


async def test_a_cancelled_task_closes_its_stream(engine: Engine, tiny: Path) -> None:
    task = asyncio.create_task(reply(engine, endless(tiny)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await reply(engine, request(max_new_tokens=3))).reason == "length"


async def test_close_ends_open_streams_and_may_be_called_twice(
    loader: EngineLoader, tiny: Path
) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    async with aclosing(engine.stream(endless(tiny))) as events:
        await first_delta(events)
        await asyncio.gather(engine.close(), engine.close())
        with pytest.raises(ModelSwitching):
            async for _ in events:
                pass
    await engine.close()
    with pytest.raises(ModelSwitching):
        await reply(engine, request())
    with pytest.raises(ModelSwitching):
        await engine.score([1, 2])
    with pytest.raises(ModelSwitching):
        await engine.distributions(DistributionRequest((1, 2), start=0, top=1))


async def test_a_failed_load_leaves_nothing_loaded(
    loader: EngineLoader, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError):
        await loader.load(broken_plan(loader, tiny, tmp_path), lambda _: None)
    repair(loader)
    engine = await loader.load(plan(tiny), lambda _: None)
    assert (await reply(engine, request(max_new_tokens=2))).reason == "length"
    await engine.close()


async def test_progress_of_a_load_ends_with_everything(loader: EngineLoader, tiny: Path) -> None:
    seen: list[Progress] = []
    engine = await loader.load(plan(tiny), seen.append)
    await engine.close()
    total = plan(tiny).spec.weights_bytes
    assert [seen[0].done, seen[-1].done] == [0, total]
    assert all(part.total == total and part.unit == "bytes" for part in seen)
    assert [part.done for part in seen] == sorted(part.done for part in seen)


async def test_memory_is_measured_with_and_without_an_engine(
    loader: EngineLoader, tiny: Path
) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    loaded = await loader.memory()
    await engine.close()
    empty = await loader.memory()
    for use in (loaded, empty):
        elsewhere = isinstance(loader, OpenAILoader)  # no engine is in this computer's memory
        assert use.device == "cpu" and 0 <= use.used_by_engine < use.total
        assert (use.used_by_engine == 0) == elsewhere
        assert 0 < use.free < use.total
    assert empty.used_by_engine <= loaded.used_by_engine


async def test_the_memorys_copies_are_timed_where_it_computes(loader: EngineLoader) -> None:
    """Without an engine; what was taken for it is given back."""
    if isinstance(loader, OpenAILoader):
        with pytest.raises(InvalidRequest, match="--engine-url"):
            await loader.copy_rate("cpu")
        return
    before = await loader.memory()
    assert 1e8 < await loader.copy_rate("cpu") < 1e14
    after = await loader.memory()
    assert after.used_by_engine < before.used_by_engine + (256 << 20)


def numbers(found: Distributions) -> tuple[np.ndarray, ...]:
    """ids, logprobs, tail, following, likeliest."""
    wide = (found.positions, found.width)
    return (
        np.frombuffer(found.ids, np.int32).reshape(wide),
        np.frombuffer(found.logprobs, np.float32).reshape(wide),
        np.frombuffer(found.tail, np.float32),
        np.frombuffer(found.following, np.float32),
        np.frombuffer(found.likeliest, np.int32),
    )


def broken_plan(loader: EngineLoader, tiny: Path, folder: Path) -> LoadPlan:
    """A plan whose load fails: damaged weights, a script that says so, a model that is nowhere."""
    if isinstance(loader, ScriptedLoader):
        error: WebUIError = CheckpointError("The weights are damaged. Fetch them again.")
        loader.script = Script(load_error=error)
        return plan(tiny)
    if isinstance(loader, OpenAILoader):
        missing = plan(tiny)
        return dataclasses.replace(missing, spec=dataclasses.replace(missing.spec, name="other"))
    for file in tiny.iterdir():
        data = file.read_bytes()
        (folder / file.name).write_bytes(data[:-1000] if file.suffix == ".safetensors" else data)
    return plan(folder)


def repair(loader: EngineLoader) -> None:
    """Back to the script of this module."""
    if isinstance(loader, ScriptedLoader):
        loader.script = SCRIPT
