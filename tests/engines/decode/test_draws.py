"""Draws of a batch: survivors and chances of the reference sampler, and numbers of their own."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import pytest
import torch

from qwen_webui.engines.decode.distribution import candidates
from qwen_webui.engines.decode.philox import philox, uniform
from qwen_webui.engines.decode.sampling import Drawing, Mask, Sampler
from qwen_webui.engines.sampler import Sampler as Reference
from qwen_webui.engines.sampler import _warpers
from qwen_webui.types import Sampling

VOCABULARY = 1000
HERE = torch.device("cpu")
PLAIN = Sampling(1.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0)
SHAPES = (
    {},
    {"temperature": 0.3},
    {"top_k": 1},
    {"top_k": 20},
    {"top_k": 50, "top_p": 0.9},
    {"top_k": 200, "top_p": 0.8, "min_p": 0.01},
    {"top_k": 5000},
    {"top_p": 0.8},
    {"top_p": 0.0},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05},
    {"temperature": 2.5, "top_p": 0.95, "min_p": 0.02},
)


def drawing(sampling: Sampling, row: int = 0) -> Drawing:
    return dataclasses.replace(Drawing.of(sampling, VOCABULARY, HERE), row=row)


@pytest.mark.parametrize("fields", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_survivors_and_chances_are_those_of_the_reference(
    fields: dict[str, float], seed: int
) -> None:
    sampling = dataclasses.replace(PLAIN, **fields)
    scores = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3
    if seed == 3:
        scores = (scores * 2).round() / 2  # equal scores at every border
    expected = scores
    for warper in _warpers(sampling):
        expected = warper(torch.zeros(1, 0), expected)
    expected = torch.softmax(expected, -1)[0].double()
    found = candidates(scores, [drawing(sampling).shaping])
    chances = torch.zeros(VOCABULARY, dtype=torch.float64)
    chances[found.tokens[0]] = found.probabilities[0]
    if seed == 3 and sampling.top_p not in (None, 1.0):
        # Of equals at top_p's border either side may cut any.
        assert torch.allclose(chances.sort().values, expected.sort().values, atol=1e-6)
        return
    assert torch.equal(chances > 0, expected > 0)
    assert torch.allclose(chances, expected, atol=1e-6)


def test_rows_of_a_batch_are_drawn_as_each_alone() -> None:
    samplings = [dataclasses.replace(PLAIN, seed=place, **f) for place, f in enumerate(SHAPES)]
    samplings.append(dataclasses.replace(PLAIN, temperature=0.0))
    logits = torch.randn(len(samplings), VOCABULARY)
    together = Sampler(32, VOCABULARY, HERE)
    rows = [drawing(s, row=31 - place) for place, s in enumerate(samplings)]
    batch = [c.token for c in together.draw(logits, rows).read()]
    for place, sampling in enumerate(samplings):
        alone = Sampler(1, VOCABULARY, HERE)
        found = alone.draw(logits[place : place + 1], [drawing(sampling)]).read()
        assert found[0].token == batch[place]
    assert batch[-1] == int(logits[-1].argmax())


def test_penalties_are_those_of_the_reference() -> None:
    sampling = dataclasses.replace(
        PLAIN, temperature=0.0, repetition_penalty=1.3, presence_penalty=0.4, frequency_penalty=0.7,
        logit_bias=((7, 1.5), (8, -2.0)),
    )  # fmt: skip
    prompt = list(range(0, 200, 2))
    sampler, mine = Sampler(4, VOCABULARY, HERE), drawing(sampling, row=2)
    sampler.seat(dataclasses.replace(mine, row=1), list(range(VOCABULARY)))
    sampler.seat(mine, prompt)
    reference = Reference(sampling, None, VOCABULARY, HERE, len(prompt))
    said: list[int] = []
    for step in range(40):
        logits = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(step)) * 0.5
        expected = reference(torch.tensor([[*prompt, *said]]), logits)
        choice = sampler.draw(logits, [mine]).read()[0]
        assert choice.token == int(expected.argmax())
        said.append(choice.token)


def test_a_token_that_does_not_stand_is_unsaid() -> None:
    sampling = dataclasses.replace(PLAIN, seed=1, frequency_penalty=50.0)
    sampler, mine = Sampler(1, VOCABULARY, HERE), drawing(sampling)
    logits = torch.zeros(1, VOCABULARY)
    sampler.seat(mine, [5])
    first = sampler.draw(logits, [mine]).read()[0].token
    sampler.unsay(mine, first)
    assert (mine.index, mine.attempt) == (0, 1)
    mine.mask = Mask(first, None)
    assert sampler.draw(logits, [mine]).read()[0].token == first, "a mask of one leaves one"
    mine.mask = None
    said = {sampler.draw(logits, [mine]).read()[0].token for _ in range(50)}
    assert first not in said, "it counts once it stands"


def test_masks_allow_what_they_say() -> None:
    allowed = {0, 31, 32, 63, 500, 999}
    words = torch.zeros(32, dtype=torch.int64)
    for token in allowed:
        words[token // 32] += 1 << (token % 32)
    mask = Mask(None, words.to(torch.uint32).view(torch.int32))
    sampler = Sampler(2, VOCABULARY, HERE)
    kept = dataclasses.replace(drawing(dataclasses.replace(PLAIN, seed=3)), mask=mask)
    free = drawing(dataclasses.replace(PLAIN, seed=3), row=1)
    drawn = [sampler.draw(torch.zeros(2, VOCABULARY), [kept, free]).read() for _ in range(200)]
    assert {pair[0].token for pair in drawn} == allowed
    assert len({pair[1].token for pair in drawn}) > 100


def test_numbers_that_are_not_finite_are_told_of_their_row_alone() -> None:
    logits = torch.randn(3, VOCABULARY)
    logits[1, 5] = torch.nan
    rows = [drawing(dataclasses.replace(PLAIN, seed=row), row) for row in range(3)]
    found = Sampler(3, VOCABULARY, HERE).draw(logits, rows).read()
    assert [choice.finite for choice in found] == [True, False, True]


def test_logprobs_are_the_models_own() -> None:
    logits = torch.randn(1, VOCABULARY)
    asked = dataclasses.replace(PLAIN, temperature=0.0, logprobs=3, logit_bias=((11, 99.0),))
    told = Sampler(1, VOCABULARY, HERE).draw(logits, [drawing(asked)]).read()[0]
    own = torch.log_softmax(logits[0], -1)
    assert told.token == 11 and told.logprobs is not None
    assert told.logprobs.chosen == pytest.approx(float(own[11]))
    assert told.logprobs.tokens == own.topk(3).indices.tolist()
    assert told.logprobs.values == pytest.approx(own.topk(3).values.tolist())


def test_frequencies_are_the_chances() -> None:
    sampler, mine = Sampler(1, 4, HERE), dataclasses.replace(PLAIN, seed=9)
    row = dataclasses.replace(Drawing.of(mine, 4, HERE), row=0)
    chances = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    draws = 2000
    found = Counter(sampler.draw(chances.log(), [row]).read()[0].token for _ in range(draws))
    for token, chance in enumerate(chances[0].tolist()):
        assert abs(found[token] / draws - chance) < 4 * math.sqrt(chance * (1 - chance) / draws)


def test_philox_gives_its_authors_answers() -> None:
    full = 0xFFFFFFFF
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox((full,) * 4, (full, full)) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    assert philox(*pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)
    numbers = [uniform(seed, index) for seed in (1, 2**40) for index in range(500)]
    assert all(0 <= number < 1 for number in numbers) and len(set(numbers)) == len(numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.04
