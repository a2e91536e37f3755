"""Twenty swaps through four precisions in one worker leave no memory behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen_webui.engines.process import ProcessLoader
from qwen_webui.types import Precision
from tests.engines.asking import reply, request
from tests.engines.checkpoints import plan

ROUND: tuple[Precision, ...] = ("fp16", "gptq-int8", "gptq-int4", "awq-int4")


@pytest.mark.slow
async def test_memory_after_twenty_swaps_is_that_after_the_first_round(
    tiny_folders: dict[str, Path],
) -> None:
    loader = ProcessLoader()
    unloaded: list[int] = []
    loaded: list[int] = []
    try:
        for swap in range(20):
            precision = ROUND[swap % len(ROUND)]
            engine = await loader.load(plan(tiny_folders[precision], precision), lambda _: None)
            assert len((await reply(engine, request(max_new_tokens=16))).ids) > 0
            loaded.append((await loader.memory()).used_by_engine)
            await engine.close()
            unloaded.append((await loader.memory()).used_by_engine)
    finally:
        await loader.close()
    first = len(ROUND) - 1
    assert unloaded[-1] == pytest.approx(unloaded[first], rel=0.1)
    assert max(unloaded[first:]) < 1.1 * unloaded[first]
    assert loaded[-1] == pytest.approx(loaded[first], rel=0.1)
