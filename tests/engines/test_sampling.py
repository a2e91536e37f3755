"""Every sampling field has its effect, and greedy is what plain generate() gives."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from qwen_webui.engines.cancelling import Ticket
from qwen_webui.engines.paths import AnyModel, load_model
from qwen_webui.errors import CheckpointError, ContextLengthExceeded, InvalidRequest
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import GenerationEvent
from tests.engines.asking import Reply, request
from tests.engines.checkpoints import CONTEXT, VOCABULARY, plan, random_weights, write_checkpoint

HOT = {"temperature": 6.0, "max_new_tokens": 30}


@pytest.fixture(scope="module", params=["reference", "ours"])
def model(request: pytest.FixtureRequest, tiny_folders: dict[str, Path]) -> Iterator[AnyModel]:
    asked = plan(tiny_folders["fp16"], engine_path=request.param)
    found = load_model(asked, lambda _: None)
    yield found
    found.unload()


def answer(model: AnyModel, text: str = "Tell me!", **fields: Any) -> Reply:
    said: list[GenerationEvent] = []
    model.generate(request(text, **fields), Ticket(), said.append)
    return Reply(tuple(said))


def test_greedy_is_what_plain_generate_gives(model: AnyModel, tiny: Path) -> None:
    asked = request(max_new_tokens=50)
    tokenizer = ChatTokenizer.load(tiny)
    plain = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    ids = torch.tensor([tokenizer.encode_chat(asked.messages)])
    whole = plain.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, repetition_penalty=1.0,
        max_new_tokens=50, temperature=None, top_p=None, top_k=None,
    )  # fmt: skip
    said = [token for token in whole[0, ids.shape[1] :].tolist() if token not in tokenizer.stop_ids]
    found = answer(model, asked.messages[0].content, max_new_tokens=50)
    assert list(found.ids) == said
    assert list(answer(model, asked.messages[0].content, max_new_tokens=50).ids) == said


def test_chunked_prefill_changes_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Tell me a story about the sea. 请给我讲一个关于大海的故事。 " * 40
    answers = []
    for chunk in (64, 100_000):
        monkeypatch.setattr("qwen_webui.engines.transformers.CHUNK", {"cpu": chunk})
        loaded = load_model(plan(tiny, engine_path="reference"), lambda _: None)
        answers.append(answer(loaded, text, max_new_tokens=30))
        loaded.unload()
    assert answers[0].usage.prompt_tokens > 5 * 64
    assert answers[0].ids == answers[1].ids


def test_a_seed_repeats_an_answer_whatever_runs_beside_it(model: AnyModel) -> None:
    alone = answer(model, seed=7, **HOT)
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(answer, model, "Other!", seed=s, **HOT) for s in (1, 2)]
        beside = pool.submit(answer, model, seed=7, **HOT)
        others[0].result()
    assert beside.result().ids == alone.ids
    assert answer(model, seed=8, **HOT).ids != alone.ids
    assert answer(model, **HOT).ids != answer(model, **HOT).ids


def test_what_leaves_one_candidate_is_greedy(model: AnyModel) -> None:
    greedy = answer(model, max_new_tokens=30).ids
    assert answer(model, **HOT, seed=1).ids != greedy
    assert answer(model, **HOT, top_k=1).ids == greedy
    assert answer(model, **HOT, top_p=0.0).ids == greedy
    assert answer(model, **HOT, min_p=1.0).ids == greedy


@pytest.mark.parametrize("narrow", [{"top_k": 3}, {"top_p": 0.3}, {"min_p": 0.5}])
def test_candidates_are_narrowed(model: AnyModel, narrow: dict[str, Any]) -> None:
    def first_tokens(**fields: Any) -> Counter[int]:
        drawn = (
            answer(model, seed=s, temperature=8.0, max_new_tokens=1, **fields) for s in range(60)
        )
        return Counter(reply.ids[0] if reply.ids else -1 for reply in drawn)

    free, narrowed = first_tokens(), first_tokens(**narrow)
    assert 1 < len(narrowed) < len(free)


def test_temperature_widens(model: AnyModel) -> None:
    def kinds(temperature: float) -> int:
        fields = {"temperature": temperature, "max_new_tokens": 1}
        return len({answer(model, seed=s, **fields).ids for s in range(40)})

    assert kinds(0.2) < kinds(3.0) < kinds(30.0)


def test_sampled_frequencies_are_the_models_own(model: AnyModel) -> None:
    top = answer(model, max_new_tokens=1, logprobs=1).logprobs[0]
    draws = 300
    hits = sum(
        answer(model, seed=s, temperature=1.0, max_new_tokens=1).ids == (top.token_id,)
        for s in range(draws)
    )
    expected = math.exp(top.logprob)
    assert abs(hits / draws - expected) < 4 * math.sqrt(expected * (1 - expected) / draws) + 0.01


def test_logit_bias_forces_and_forbids(model: AnyModel) -> None:
    plain = answer(model, max_new_tokens=5).ids
    assert answer(model, max_new_tokens=5, logit_bias=((77, 1000.0),)).ids == (77,) * 5
    assert plain[0] not in answer(model, max_new_tokens=5, logit_bias=((plain[0], -1000.0),)).ids
    with pytest.raises(InvalidRequest, match=f"0 to {VOCABULARY - 1}"):
        answer(model, logit_bias=((VOCABULARY, 1.0),))


def test_repetition_penalty_counts_the_prompt_too(model: AnyModel) -> None:
    free = answer(model, max_new_tokens=60).ids
    held = answer(model, max_new_tokens=60, repetition_penalty=1.8).ids
    assert len(set(held)) / len(held) > len(set(free)) / len(free)
    in_prompt = ChatTokenizer.load(Path(model.info.checkpoint.folder or "")).encode("Tell me!")
    strong = answer(model, max_new_tokens=10, repetition_penalty=1e9).ids
    assert not set(strong) & set(in_prompt)


def test_presence_and_frequency_penalties_count_the_answer(model: AnyModel) -> None:
    free = answer(model, max_new_tokens=40).ids
    assert len(set(free)) < len(free), "the model must repeat itself for this to show anything"
    once = answer(model, max_new_tokens=40, presence_penalty=1000.0).ids
    assert len(set(once)) == len(once)
    assert once[0] == free[0], "nothing was said before the first token"
    mild = answer(model, max_new_tokens=40, frequency_penalty=2.0).ids
    assert max(Counter(mild).values()) < max(Counter(free).values())


def test_logprobs_are_the_models_own_distribution(model: AnyModel, tiny: Path) -> None:
    asked = {"max_new_tokens": 6, "logprobs": VOCABULARY}
    plain = answer(model, **asked).logprobs
    for found in plain:
        assert math.isclose(sum(math.exp(p) for _, _, p in found.top), 1.0, rel_tol=1e-3)
        assert found.top[0][0] == found.token_id
        assert [p for _, _, p in found.top] == sorted((p for _, _, p in found.top), reverse=True)
    biased = answer(model, **asked, temperature=3.0, seed=1, logit_bias=((77, 1000.0),)).logprobs
    assert biased[0].token_id == 77
    assert biased[0].top == plain[0].top
    assert math.isclose(biased[0].logprob, {t: p for t, _, p in plain[0].top}[77], abs_tol=1e-5)
    prompt = ChatTokenizer.load(tiny).encode_chat(request("Tell me!").messages)
    ids = (*prompt, *(found.token_id for found in plain))
    scored = model.score(ids, Ticket())[len(prompt) - 1 :]
    assert scored == pytest.approx([found.logprob for found in plain], abs=1e-3)


def test_score_in_chunks_is_score_at_once(model: AnyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = tuple(torch.randint(0, 400, (150,), generator=torch.manual_seed(3)).tolist())
    whole = model.score(ids, Ticket())
    for path in ("transformers", "decode.prompts"):
        monkeypatch.setattr(f"qwen_webui.engines.{path}.SCORED_AT_ONCE", 32)
    assert model.score(ids, Ticket()) == pytest.approx(whole, abs=1e-3)
    assert len(whole) == len(ids) - 1
    with pytest.raises(ContextLengthExceeded):
        model.score(tuple([1] * (CONTEXT + 1)), Ticket())


def test_the_checkpoints_defaults_fill_what_is_unset(model: AnyModel) -> None:
    said = model.info.defaults
    assert (said.temperature, said.top_p, said.top_k) == (0.7, 0.8, 20)
    assert said.repetition_penalty == 1.05
    fields = {"temperature": 0.0, "max_new_tokens": 40}
    explicit = answer(model, repetition_penalty=1.05, **fields)
    assert answer(model, repetition_penalty=None, **fields).ids == explicit.ids


@pytest.mark.parametrize("path", ["reference", "ours"])
def test_numbers_that_are_not_finite_end_the_load(tmp_path: Path, path: str) -> None:
    weights = random_weights()
    weights["model.norm.weight"][3] = math.nan
    folder = write_checkpoint(tmp_path / "nan", weights)
    with pytest.raises(CheckpointError, match="not finite"):
        load_model(plan(folder, engine_path=path), lambda _: None)


async def test_text_is_whole_characters(model: AnyModel, tiny: Path) -> None:
    tokenizer = ChatTokenizer.load(tiny)
    said = tokenizer.encode("狐狸🦊!")
    bias = ((said[0], 1000.0),)
    found = await asyncio.to_thread(answer, model, logit_bias=bias, max_new_tokens=3)
    assert found.text == tokenizer.decode(found.ids)
