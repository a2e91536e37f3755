"""What goes wrong for one request ends that one, with a word, and costs no other anything."""

from __future__ import annotations

import gc
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qwen_webui.engines.cancelling import Cancelled, Ticket
from qwen_webui.engines.decode import sampling
from qwen_webui.engines.decode.cpu import CpuComputer
from qwen_webui.engines.decode.line import Line
from qwen_webui.engines.decode.model import DecodedModel
from qwen_webui.engines.decode.pages import Holding, Pages
from qwen_webui.engines.decode.sampling import Drawing, Draws, Sampler
from qwen_webui.engines.decode.scheduler import Scheduler
from qwen_webui.engines.decode.sequence import Placed
from qwen_webui.engines.decode.sequence import Sequence as Request
from qwen_webui.engines.paths import load_model
from qwen_webui.errors import CheckpointError, InvalidRequest
from qwen_webui.types import GenerationRequest, Queued
from tests.engines.asking import GREEDY
from tests.engines.checkpoints import plan
from tests.engines.decode.asking import Asked, Faulty, answer, computer, demo, model, until

Broken = tuple[DecodedModel, Faulty]
SAMPLED = {"temperature": 1.2, "top_k": 40, "repetition_penalty": 1.1, "seed": 11}
LONG = "The ship sailed on over the grey sea, and nobody on board knew where to. " * 40
FULL = "CUDA out of memory."


@pytest.fixture(scope="module")
def sound() -> Iterator[DecodedModel]:
    found = model()
    yield found
    found.unload()


def running(found: DecodedModel, **fields: Any) -> Asked:
    asked = Asked(found, "Tell me a story.", **{"max_new_tokens": 200, **SAMPLED, **fields})
    until(lambda: asked.tokens() > 3)
    return asked


def all_free(found: DecodedModel) -> bool:
    return found.scheduler.pages.free == found.scheduler.pages.count


def once(error: Exception) -> Callable[..., None]:
    left = [error]

    def fail(*_: object, **__: object) -> None:
        if left:
            raise left.pop()

    return fail


def test_who_cannot_be_seated_ends_alone(faulty: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    found, on = faulty
    whole = answer(found, "Tell me a story.", max_new_tokens=200, **SAMPLED).ids
    beside = running(found)
    on.before_seat = once(torch.OutOfMemoryError(FULL))
    with pytest.raises(torch.OutOfMemoryError):
        Asked(found, "And me!").whole()
    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "seat", once(torch.OutOfMemoryError(FULL)))
        with pytest.raises(torch.OutOfMemoryError):
            Asked(found, "And me too!").whole()
    assert beside.whole().ids == whole
    assert all_free(found)


def test_who_finds_no_pages_by_mistake_ends_alone(
    faulty: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = faulty
    beside = running(found)
    monkeypatch.setattr(Pages, "take", once(KeyError("a page")))
    with pytest.raises(KeyError, match="a page"):
        Asked(found, "And me!").whole()
    assert beside.whole().usage.completion_tokens == 200
    assert all_free(found)


def test_memory_that_lacks_for_drawing_together_costs_nobody(
    faulty: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was drawn before memory ran out is not counted twice."""
    found, on = faulty
    asked = [{**SAMPLED, "seed": seed, "max_new_tokens": 60} for seed in (1, 2, 3)]
    alone = [answer(found, "Tell me a story.", **fields).ids for fields in asked]
    refused, most = [], []

    def narrow(tokens: Tensor, *others: Any) -> Draws:
        if len(tokens) > 1:
            refused.append(len(tokens))
            raise torch.OutOfMemoryError(FULL)
        return Draws(tokens, *others)

    def seen(rows: Sequence[int], logits: Tensor) -> Tensor:
        most.append(len(rows))
        return logits

    on.after_decode = seen
    monkeypatch.setattr(sampling, "Draws", narrow)
    together = [Asked(found, "Tell me a story.", **fields) for fields in asked]
    assert [one.whole().ids for one in together] == alone
    assert refused and max(most) > 1


def test_who_lacks_memory_alone_ends_alone(faulty: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = faulty
    whole = answer(found, "Tell me a story.", max_new_tokens=200, **SAMPLED).ids
    beside, draw = running(found), Sampler.draw
    greedy = 666

    def full(self: Sampler, logits: Tensor, drawings: list[Drawing]) -> Draws:
        if any(drawing.seed == greedy and drawing.index == 5 for drawing in drawings):
            raise torch.OutOfMemoryError(FULL)
        return draw(self, logits, drawings)

    monkeypatch.setattr(Sampler, "draw", full)
    costly = Asked(found, "And me!", max_new_tokens=50, **{**SAMPLED, "seed": greedy})
    with pytest.raises(torch.OutOfMemoryError):
        costly.whole()
    assert costly.tokens() <= 5
    assert beside.whole().ids == whole
    assert all_free(found)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(FULL), RuntimeError("a kernel failed")])
def test_an_answer_that_fails_leaves_those_whose_prompts_are_computed(
    faulty: Broken, error: Exception
) -> None:
    found, on = faulty
    beside = running(found, max_new_tokens=1500)
    entered = threading.Event()
    on.before_prefill = lambda _: entered.set()

    def broken(rows: Sequence[int], logits: Tensor) -> Tensor:
        if entered.is_set():
            on.after_decode = lambda _, found: found
            raise error
        return logits

    on.after_decode = broken
    entering = Asked(found, LONG, max_new_tokens=5)
    with pytest.raises(type(error)):
        beside.whole()
    assert entering.whole().usage.completion_tokens == 5
    assert all_free(found)


def test_everybody_hears_of_an_error_in_words_of_their_own(faulty: Broken) -> None:
    """Threads that raise one exception would write into each other's traceback."""
    found, on = faulty
    both = [running(found, max_new_tokens=1500), running(found, max_new_tokens=1500)]

    def broken(rows: Sequence[int], logits: Tensor) -> Tensor:
        if len(rows) < 2:
            return logits
        error = InvalidRequest("It went wrong.", param="x")
        raise error

    on.after_decode = broken
    heard = []
    for asked in both:
        with pytest.raises(InvalidRequest, match=r"It went wrong\.") as caught:
            asked.whole()
        assert caught.value.param == "x"
        heard.append(caught.value)
    assert heard[0] is not heard[1]


def test_pages_that_are_lost_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    found = model(on=computer(pages=20))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Pages, "give", once(KeyError("a page")))
            asked = answer(found, "Tell me!", max_new_tokens=200)
        assert asked.usage.completion_tokens == 200
        with pytest.raises(AssertionError, match="alone every sequence has room"):
            Asked(found, "And me!", max_new_tokens=200).whole()
        assert answer(found, "Hi!", max_new_tokens=5).usage.completion_tokens == 5
    finally:
        found.unload()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_keeps_nobody_waiting() -> None:
    on = computer()
    scheduler = Scheduler(on, once(OSError("no threads")))
    asked = Request(
        [1, 2, 3], 5, frozenset(), Ticket(), Drawing.of(GREEDY, on.vocabulary, on.device)
    )
    scheduler.submit(asked)
    with pytest.raises(Cancelled):
        list(asked.listen())
    scheduler.close()


def test_a_load_that_fails_leaves_neither_weights_nor_threads(tmp_path: Path, tiny: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(tiny, folder)
    said = {"do_sample": True, "temperature": "warm"}
    (folder / "generation_config.json").write_text(json.dumps(said))
    gc.collect()
    before = [found for found in gc.get_objects() if isinstance(found, CpuComputer)]
    with pytest.raises(CheckpointError):
        load_model(plan(folder), lambda _: None)
    gc.collect()
    after = [found for found in gc.get_objects() if isinstance(found, CpuComputer)]
    assert len(after) == len(before)
    assert "scheduler" not in {thread.name for thread in threading.enumerate()}


def test_tokens_that_the_model_has_not_never_reach_it(sound: DecodedModel) -> None:
    for wrong in ((5, 10_000_000, 6), (-1, 5)):
        with pytest.raises(InvalidRequest, match="not one of this model's"):
            sound.score(wrong, Ticket())
    narrow = model(on=computer(vocabulary=300))
    try:
        asked = GenerationRequest("x", (), GREEDY, prompt=(5, 299, 300))
        with pytest.raises(InvalidRequest, match="Token 300 is not one of"):
            narrow.generate(asked, Ticket(), lambda _: None)
    finally:
        narrow.unload()


def test_who_waits_is_not_matched_anew_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    take, tries, steps = Pages.take, [], []

    def counted(self: Pages, *asked: Any, **more: Any) -> Holding | None:
        tries.append(len(steps))
        return take(self, *asked, **more)

    monkeypatch.setattr(Pages, "take", counted)
    on = Faulty.of(computer(demo(), pages=20))

    def stepped(rows: Sequence[int], logits: Tensor) -> Tensor:
        steps.append(len(rows))
        return logits

    on.after_decode = stepped
    found = model(on=on)
    try:
        first = Asked(found, "Tell me!", max_new_tokens=240)
        until(lambda: first.tokens() > 3)
        second = Asked(found, "And me!", max_new_tokens=200)
        until(lambda: second.events == [Queued(1)])
        assert second.whole().usage.completion_tokens == 200
        assert len(steps) > 400 and len(tries) <= 5
    finally:
        found.unload()


def test_who_waits_is_looked_at_again_when_the_same_beginning_was_computed() -> None:
    pages = Pages(6, 4)
    line = Line(pages, 2)
    first, second = (
        Request(prompt, room, frozenset(), Ticket(), Drawing.of(GREEDY, 10, torch.device("cpu")))
        for prompt, room in (([1] * 12, 8), ([1] * 12 + [2], 3))
    )
    failed: list[Exception] = []

    def seated() -> list[Request]:
        return list(line.admitted(lambda _, error: failed.append(error)))

    line.waiting.extend((first, second))
    assert seated() == [first] and seated() == []
    assert second.news.get_nowait() == Placed(1)
    assert first.holding is not None
    pages.filled(first.holding, first.prompt)
    assert seated() == [second] and second.cached == 12
    assert failed == []


def test_a_token_that_was_counted_and_lost_is_never_drawn_again(
    faulty: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card counts as it draws; whoever it counted ends rather than say something else."""
    found, _ = faulty
    draw = Sampler.draw

    def torn(self: Sampler, logits: Tensor, drawings: list[Drawing]) -> Draws:
        draws = draw(self, logits, drawings)
        if len(drawings) > 1:
            raise torch.OutOfMemoryError(FULL)
        return draws

    first = running(found, max_new_tokens=1500)
    monkeypatch.setattr(Sampler, "draw", torn)
    second = Asked(found, "And me!", max_new_tokens=1500)
    for asked in (first, second):
        with pytest.raises(torch.OutOfMemoryError):
            asked.whole()
    assert all_free(found)
