"""Which path computes a checkpoint: as asked, and the reference where ours does not take it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.decode.model import DecodedModel
from qwen_webui.engines.paths import load_model
from qwen_webui.engines.transformers import LoadedModel
from qwen_webui.errors import CheckpointError
from qwen_webui.types import GenerationEvent
from tests.engines.asking import Reply, request
from tests.engines.checkpoints import plan, random_weights, write_checkpoint


def test_the_path_is_the_one_asked_for(tiny: Path) -> None:
    kinds = {"auto": DecodedModel, "reference": LoadedModel, "ours": DecodedModel}
    answers = set()
    for path, kind in kinds.items():
        found = load_model(plan(tiny, engine_path=path), lambda _: None)
        said: list[GenerationEvent] = []
        found.generate(request(max_new_tokens=20), Ticket(), said.append)
        assert type(found) is kind and not found.info.notes
        answers.add(Reply(tuple(said)).ids)
        found.unload()
    assert len(answers) == 1
    assert "scheduler" not in {thread.name for thread in threading.enumerate()}


def test_what_ours_does_not_take_the_reference_computes_and_says_so(tmp_path: Path) -> None:
    odd = write_checkpoint(tmp_path / "odd", random_weights(), hidden_act="gelu")
    found = load_model(plan(odd), lambda _: None)
    assert type(found) is LoadedModel
    assert any("gelu" in note for note in found.info.notes)
    said: list[GenerationEvent] = []
    found.generate(request(max_new_tokens=4), Ticket(), said.append)
    assert len(Reply(tuple(said)).ids) == 4
    found.unload()


def test_who_asks_for_ours_alone_is_told_why_it_does_not_compute(tmp_path: Path) -> None:
    odd = write_checkpoint(tmp_path / "odd", random_weights(), hidden_act="gelu")
    with pytest.raises(CheckpointError, match=r"does not compute .* here: .*gelu"):
        load_model(plan(odd, engine_path="ours"), lambda _: None)
