"""The checking process: what it reads before anybody asks, and what it leaves when it dies."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil
import pytest

from qwen_webui.structured import SchemaRefused, Structured
from tests.structured.walks import DEMO, json_schema

DATED = json_schema({"type": "string", "format": "date"})


async def test_what_was_read_ahead_costs_the_first_answer_nothing() -> None:
    structured = Structured()
    await structured.read_ahead(DEMO)
    child = psutil.Process(structured.checker_pid)
    before = child.cpu_times()
    prepared = await structured.prepare(DATED, DEMO)
    await structured.check(DATED, '"2024-02-29"')
    after = child.cpu_times()
    assert prepared.needed_tokens is not None
    # Its own time, which a busy machine does not stretch: reading alone takes over a second.
    assert after.user - before.user < 0.3
    await structured.close()


async def test_what_cannot_be_read_ahead_is_told_to_who_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    structured = Structured()
    with caplog.at_level(logging.INFO, "qwen_webui.structured"):
        await structured.read_ahead(tmp_path)
    assert "read ahead" in caplog.text
    with pytest.raises(Exception, match="tokenizer"):
        await structured.prepare(DATED, tmp_path)
    assert await structured.prepare(DATED, None)
    await structured.close()


async def test_the_last_words_of_a_process_that_dies_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    structured = Structured()
    with caplog.at_level(logging.WARNING, "qwen_webui.structured"), pytest.raises(SchemaRefused):
        await structured.prepare(DATED, Path("no\0folder"))  # nobody expected that
    assert "the checker ended (1)" in caplog.text
    assert caplog.text.rstrip().endswith("embedded null byte")
    await structured.close()
