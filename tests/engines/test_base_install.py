"""Without the extra `quantize` everything that ships answers, and what does not says what to do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import CheckpointError
from qwen_webui.types import PRECISIONS
from tests.engines.asking import reply, request
from tests.engines.checkpoints import old_gptq, plan, random_weights, write_checkpoint

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "qwen_webui" / "demo"
CONTEXT = 2048
INSTALL = r"pip install 'qwen-webui\[quantize\]'"

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def loader() -> AsyncIterator[ProcessLoader]:
    """A worker that cannot import the quantisers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "tests" / "bare"), str(ROOT))))
        found = ProcessLoader(stall_seconds=60)
        yield found
        await found.close()


@pytest.mark.parametrize("precision", PRECISIONS)
async def test_the_embedded_checkpoints_answer(loader: ProcessLoader, precision: str) -> None:
    demo = plan(DEMO / f"demo-{precision}", max_context=CONTEXT)
    engine = await loader.load(demo, lambda _: None)
    try:
        found = await reply(engine, request("Who are you?", max_new_tokens=60))
        assert "qwen-webui" in found.text and found.reason == "stop"
    finally:
        await engine.close()


async def test_the_reference_path_names_what_it_lacks(loader: ProcessLoader) -> None:
    demo = DEMO / "demo-gptq-int4"
    with pytest.raises(CheckpointError, match=f"gptqmodel reads it, .* {INSTALL}"):
        await loader.load(plan(demo, engine_path="reference"), lambda _: None)
    plain = await loader.load(plan(DEMO / "demo-fp16", engine_path="reference"), lambda _: None)
    assert (await reply(plain, request(max_new_tokens=3))).text
    await plain.close()


async def test_what_nothing_reads_is_told_with_the_way_out(
    loader: ProcessLoader, tmp_path: Path
) -> None:
    other = {**old_gptq(4), "lm_head": True}
    odd = write_checkpoint(tmp_path / "odd", random_weights(), quantization_config=other)
    with pytest.raises(CheckpointError, match=f"output matrix.*{INSTALL}"):
        await loader.load(plan(odd), lambda _: None)
