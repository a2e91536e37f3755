"""Many requests on one device: batched, cancelled, waiting, reusing, and failing alone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from qwen_webui.engines.cancelling import Cancelled, Ticket
from qwen_webui.engines.constraint import Guide
from qwen_webui.engines.decode.model import DecodedModel
from qwen_webui.engines.decode.pace import PATIENCE, STEPS, Patience
from qwen_webui.engines.decode.sampling import Choice, Draws, Sampler
from qwen_webui.engines.decode.sequence import Sequence as Sequenced
from qwen_webui.errors import GenerationFailed
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Constraint, Message, Progress, Queued
from tests.engines.asking import Reply
from tests.engines.decode.asking import DEMO, Asked, Faulty, answer, computer, demo, model, until

TEXTS = (
    "Tell me a story about the sea.",
    "What is 3 + 4?",
    "你好，请介绍一下你自己。",
    "Why is the sky blue, and the sea too?",
    "Write a list of five animals and what they eat.",
    "Hello!",
)
LONG = "The ship sailed on over the grey sea, and nobody on board knew where to. " * 40
SAMPLED = {"temperature": 1.2, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.05, "seed": 11}

PERSON = Constraint(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        }
    ),
)


LETTERS = Constraint("regex", "[a-z ]{40,60}")


@pytest.fixture(scope="module")
def shared() -> Iterator[DecodedModel]:
    found = model()
    found.warm_up()
    yield found
    found.unload()


def together(found: DecodedModel, texts: Sequence[str], **fields: object) -> list[Reply]:
    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(lambda text: answer(found, text, **fields), texts))


def test_256_greedy_tokens_are_those_of_transformers(shared: DecodedModel) -> None:
    folder = DEMO / "demo-fp16"
    tokenizer = ChatTokenizer.load(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for place, text in enumerate(TEXTS[:3]):
        prompt = tokenizer.encode_chat((Message("user", text),))
        said = answer(shared, text, max_new_tokens=256).ids
        with torch.inference_mode():
            logits = plain(torch.tensor([[*prompt, *said]])).logits[0]
            logits[:, list(tokenizer.stop_ids)] = -torch.inf
        assert len(said) == 256 and list(said) == logits.argmax(-1)[len(prompt) - 1 : -1].tolist()
        if place:
            continue
        # Once the long way too: token by token as its own generate() goes.
        ids = torch.tensor([prompt])
        whole = plain.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, repetition_penalty=1.0,
            max_new_tokens=256, suppress_tokens=list(tokenizer.stop_ids),
            temperature=None, top_p=None, top_k=None,
        )  # fmt: skip
        assert list(said) == whole[0, len(prompt) :].tolist()


def test_a_batch_changes_no_greedy_text(shared: DecodedModel) -> None:
    alone = [answer(shared, text, max_new_tokens=60).ids for text in TEXTS]
    assert [reply.ids for reply in together(shared, TEXTS, max_new_tokens=60)] == alone


def test_a_seed_gives_its_text_in_any_batch_and_row(shared: DecodedModel) -> None:
    alone = [answer(shared, text, max_new_tokens=60, **SAMPLED).ids for text in TEXTS]
    mixed = [*reversed(TEXTS), "Others may run beside it."]
    found = [reply.ids for reply in together(shared, mixed, max_new_tokens=60, **SAMPLED)]
    assert found[:-1] == alone[::-1]
    other = answer(shared, TEXTS[0], max_new_tokens=60, **{**SAMPLED, "seed": 12}).ids
    assert other != alone[0]
    free = {**SAMPLED, "seed": None}
    assert answer(shared, **free, max_new_tokens=30).ids != answer(shared, **free).ids


def test_tokens_read_behind_the_device_are_the_same(shared: DecodedModel) -> None:
    """As on a card: a step is begun before the tokens of the one before it are read."""
    behind = model(on=computer(asynchronous=True))
    try:
        for fields in ({}, SAMPLED, {**SAMPLED, "constraint": PERSON}):
            asked = {"max_new_tokens": 40, "logit_bias": (), **fields}
            expected = [(r.ids, r.reason) for r in together(shared, TEXTS, **asked)]
            assert [(r.ids, r.reason) for r in together(behind, TEXTS, **asked)] == expected
        cut = Asked(behind, "Tell me!", max_new_tokens=1000)
        until(lambda: cut.tokens() > 3)
        cut.ticket.cancel()
        with pytest.raises(Cancelled):
            cut.whole()
        until(lambda: behind.scheduler.pages.free == behind.scheduler.pages.count)
    finally:
        behind.unload()


def test_the_device_waits_for_nobody_to_read_a_constrained_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens are read once the step after them is under way, beside a constrained answer too."""
    steps = 0
    drawn_after: dict[int, int] = {}
    read_after: list[int] = []
    on = computer(asynchronous=True)
    behind = model(on=on)
    decode, made, read = on.decode, Draws.__init__, Draws.read

    def stepped(*given: Any) -> Tensor:
        nonlocal steps
        steps += 1
        return decode(*given)

    def was_made(draws: Draws, *given: Any) -> None:
        made(draws, *given)
        drawn_after[id(draws)] = steps

    def was_read(draws: Draws) -> list[Choice]:
        read_after.append(steps - drawn_after[id(draws)])
        return read(draws)

    monkeypatch.setattr(on, "decode", stepped)
    monkeypatch.setattr(Draws, "__init__", was_made)
    monkeypatch.setattr(Draws, "read", was_read)
    try:
        with ThreadPoolExecutor(2) as pool:
            free = pool.submit(answer, behind, TEXTS[0], max_new_tokens=80)
            bound = pool.submit(answer, behind, TEXTS[1], max_new_tokens=40, constraint=PERSON,
                                logit_bias=(), **SAMPLED)  # fmt: skip
            assert len(free.result().ids) == 80 and len(bound.result().ids) > 8
    finally:
        behind.unload()
    # The last token of an answer has no step after it.
    assert read_after.count(0) <= 2 and read_after.count(1) == len(read_after) - read_after.count(0)


def test_nobody_waits_for_a_verdict_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide of a constrained answer is stuck until the free one beside it has said all."""
    said_all = threading.Event()
    stuck = threading.Event()
    take = Guide.take

    def slow(guide: Guide, token: int) -> bool:
        stuck.set()
        assert said_all.wait(60), "the free answer waits for the constrained one"
        return take(guide, token)

    monkeypatch.setattr(Guide, "take", slow)
    behind = model(on=computer(asynchronous=True))
    asked = {**SAMPLED, "max_new_tokens": 60, "constraint": LETTERS, "logit_bias": ()}
    try:
        with ThreadPoolExecutor(1) as pool:
            bound = pool.submit(answer, behind, TEXTS[1], **asked)
            assert stuck.wait(60)
            assert len(answer(behind, TEXTS[0], max_new_tokens=200).ids) == 200
            said_all.set()
            assert 40 <= len(bound.result().text) <= 60
    finally:
        said_all.set()
        behind.unload()


def test_patience_is_a_share_of_the_shortest_of_the_last_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    patience = Patience()
    patience.step_began()
    assert patience.left() <= 0, "nothing is known yet"
    for step in (0.5, 0.004, 0.006):
        now += step
        patience.step_began()
    assert patience.left() == pytest.approx(PATIENCE * 0.004)
    now += 0.001
    assert patience.left() == pytest.approx(PATIENCE * 0.004 - 0.001)
    for _ in range(STEPS):
        now += 0.008
        patience.step_began()
    assert patience.left() == pytest.approx(PATIENCE * 0.008)


def test_a_token_refused_at_the_last_moment_is_drawn_again_from_its_own_logits(
    shared: DecodedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict may come while the scheduler looks for it."""
    taken = itertools.count()
    take, source = Guide.take, Sequenced.source

    def strict(guide: Guide, token: int) -> bool:
        return next(taken) % 3 != 2 and take(guide, token)

    def late(sequence: Sequenced, sampler: Sampler) -> Tensor | None:
        held = sequence.constrained
        if held is not None and held.ahead is not None and len(sequence.said) == sequence.drawn:
            until(lambda: bool(held.verdicts) or sequence.left)
        return source(sequence, sampler)

    monkeypatch.setattr(Guide, "take", strict)
    asked = {**SAMPLED, "max_new_tokens": 60, "constraint": LETTERS, "logit_bias": ()}
    expected = answer(shared, TEXTS[0], **asked).ids
    refused = next(taken) // 3
    taken = itertools.count()
    monkeypatch.setattr(Sequenced, "source", late)
    behind = model(on=computer(asynchronous=True))
    try:
        assert answer(behind, TEXTS[0], **asked).ids == expected
    finally:
        behind.unload()
    assert refused > 3


def test_beginnings_seen_before_are_not_computed_again(shared: DecodedModel) -> None:
    shared.scheduler.pages.forget()
    first = answer(shared, LONG[:900], max_new_tokens=20)
    again = answer(shared, LONG[:900], max_new_tokens=20)
    longer = answer(shared, LONG[:1200], max_new_tokens=20)
    assert first.usage.cached_tokens == 0
    page = shared.scheduler.pages.page_tokens
    prompt = first.usage.prompt_tokens
    assert again.usage.cached_tokens == (prompt - 1) // page * page
    assert 0 < longer.usage.cached_tokens < longer.usage.prompt_tokens
    assert again.ids == first.ids
    shared.scheduler.pages.forget()
    assert answer(shared, LONG[:1200], max_new_tokens=20).ids == longer.ids


def test_cancel_frees_pages_at_once_in_prefill_in_line_and_in_an_answer(
    shared: DecodedModel,
) -> None:
    pages = shared.scheduler.pages
    assert pages.free == pages.count
    running = Asked(shared, "Tell me!", max_new_tokens=1500)
    until(lambda: running.tokens() > 5)
    assert pages.free < pages.count
    entering = Asked(shared, LONG, max_new_tokens=100)
    until(lambda: bool(entering.events) or entering.error is not None)
    for asked in (entering, running):
        asked.ticket.cancel()
        with pytest.raises(Cancelled):
            asked.whole()
    until(lambda: pages.free == pages.count)
    assert answer(shared, "Still there?", max_new_tokens=5).usage.completion_tokens == 5


def test_between_two_pieces_of_a_long_prompt_the_others_step(
    faulty: tuple[DecodedModel, Faulty],
) -> None:
    found, on = faulty
    running = Asked(found, "Tell me!", max_new_tokens=600)
    until(lambda: running.tokens() > 3)
    calls: list[str] = []
    on.before_prefill = lambda _: calls.append("piece")

    def stepped(rows: Sequence[int], logits: Tensor) -> Tensor:
        calls.append("step")
        return logits

    on.after_decode = stepped
    seen = Asked(found, LONG, max_new_tokens=1).whole()
    assert calls.count("piece") == sum(isinstance(event, Progress) for event in seen.events) >= 3
    assert ("piece", "piece") not in itertools.pairwise(calls)
    running.ticket.cancel()
    with pytest.raises(Cancelled):
        running.whole()


def test_who_does_not_fit_waits_and_knows_the_place() -> None:
    found = model(on=computer(demo(), pages=20))
    try:
        first = Asked(found, "Tell me!", max_new_tokens=240)
        until(lambda: first.tokens() > 3)
        second = Asked(found, "And me!", max_new_tokens=200)
        until(lambda: bool(second.events))
        third = Asked(found, "And me too!", max_new_tokens=200)
        until(lambda: bool(third.events))
        assert second.events == [Queued(1)] and third.events == [Queued(2)]
        second.ticket.cancel()
        with pytest.raises(Cancelled):
            second.whole()
        assert first.whole().usage.completion_tokens == 240
        told = [event for event in third.whole().events if isinstance(event, Queued)]
        assert told == [Queued(2), Queued(1)]
        assert found.scheduler.pages.free == 20
    finally:
        found.unload()


def test_memory_that_runs_out_costs_one_request(faulty: tuple[DecodedModel, Faulty]) -> None:
    found, on = faulty
    greedy = answer(found, TEXTS[0], max_new_tokens=200).ids
    running = Asked(found, TEXTS[0], max_new_tokens=200)
    until(lambda: running.tokens() > 3)

    def full(token_ids: Sequence[int]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    on.before_prefill = full
    with pytest.raises(torch.OutOfMemoryError):
        answer(found, "Too long!")
    del on.before_prefill
    assert running.whole().ids == greedy
    once = iter([torch.OutOfMemoryError("CUDA out of memory.")])
    first = Asked(found, TEXTS[0], max_new_tokens=200)
    until(lambda: first.tokens() > 3)

    def full_for_two(rows: Sequence[int], logits: Tensor) -> Tensor:
        if len(rows) > 1:
            for error in once:
                raise error
        return logits

    on.after_decode = full_for_two
    with pytest.raises(torch.OutOfMemoryError):
        answer(found, TEXTS[1], max_new_tokens=50)
    assert first.whole().ids == greedy
    assert found.scheduler.pages.free == found.scheduler.pages.count


def test_numbers_that_are_not_finite_cost_one_request(
    faulty: tuple[DecodedModel, Faulty],
) -> None:
    found, on = faulty
    greedy = answer(found, TEXTS[0], max_new_tokens=100).ids
    running = Asked(found, TEXTS[0], max_new_tokens=100)
    until(lambda: running.tokens() > 3)

    def torn(rows: Sequence[int], logits: Tensor) -> Tensor:
        if len(rows) > 1:
            logits[1, 7] = torch.nan
        return logits

    on.after_decode = torn
    with pytest.raises(GenerationFailed, match="not finite"):
        answer(found, TEXTS[1], max_new_tokens=50)
    assert running.whole().ids == greedy


def test_a_step_that_fails_ends_what_it_computed_and_no_more(
    faulty: tuple[DecodedModel, Faulty],
) -> None:
    found, on = faulty

    def broken(rows: Sequence[int], logits: Tensor) -> Tensor:
        raise RuntimeError("a kernel failed")

    on.after_decode = broken
    with pytest.raises(RuntimeError, match="a kernel failed"):
        answer(found)
    del on.after_decode
    assert answer(found, max_new_tokens=5).usage.completion_tokens == 5
    assert found.scheduler.pages.free == found.scheduler.pages.count


def test_constrained_answers_are_valid_beside_free_ones(shared: DecodedModel) -> None:
    free = answer(shared, TEXTS[0], max_new_tokens=120, **SAMPLED).ids
    fields = {"constraint": PERSON, "logit_bias": (), "max_new_tokens": 60, "temperature": 1.5}
    alone = [answer(shared, f"Person {n}", seed=n, **fields).text for n in range(4)]
    with ThreadPoolExecutor(8) as pool:
        plain = pool.submit(answer, shared, TEXTS[0], max_new_tokens=120, **SAMPLED)
        found = list(pool.map(lambda n: answer(shared, f"Person {n}", seed=n, **fields), range(4)))
    assert [reply.text for reply in found] == alone, "a seed gives its text here too"
    for reply in found:
        assert set(json.loads(reply.text)) == {"name", "age"}
        assert reply.reason == "stop"
    assert plain.result().ids == free


def test_scores_are_those_of_transformers_beside_answers(shared: DecodedModel) -> None:
    ids = ChatTokenizer.load(DEMO / "demo-fp16").encode(LONG)[:400]
    plain = AutoModelForCausalLM.from_pretrained(DEMO / "demo-fp16", dtype=torch.float32)
    with torch.inference_mode():
        logprobs = torch.log_softmax(plain(torch.tensor([ids])).logits[0, :-1], -1)
    expected = logprobs.gather(1, torch.tensor(ids)[1:, None])[:, 0].tolist()
    beside = Asked(shared, "Tell me!", max_new_tokens=100)
    assert shared.score(tuple(ids), Ticket()) == pytest.approx(expected, abs=1e-4)
    assert beside.whole().usage.completion_tokens == 100
    assert shared.score((5,), Ticket()) == []
