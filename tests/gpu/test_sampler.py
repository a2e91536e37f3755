"""The sampler of a card beside the one in PyTorch operators, at Qwen2.5's vocabulary."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from qwen_webui.engines.decode.sampling import Drawing, Mask, Rows, Sampler
from qwen_webui.types import Sampling

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
VOCABULARY, ROWS = 152064, 32
CARD = "cuda"
OFF = Sampling(1.0, 1.0, 0, 0.0, 1.0, 0.0, 0.0)
# Where candidates are few, both put them in the same order and draw the same token.
FEW: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.0, "repetition_penalty": 1.3},
    {"temperature": 0.0, "logit_bias": ((7, 50.0), (9, -100.0))},
    {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05},
    {"top_k": 5},
    {"top_k": 200, "top_p": 0.95, "min_p": 0.02},
    {"temperature": 0.3, "top_p": 0.3},
    {"top_k": 40, "presence_penalty": 0.5, "frequency_penalty": 0.3},
]
PROMPT = list(range(0, 4000, 3))


def drawing(row: int, seed: int = 0, **asked: Any) -> Drawing:
    """Seated nowhere yet."""
    own = Drawing.of(replace(OFF, seed=seed, **asked), VOCABULARY, torch.device(CARD))
    own.row = row
    return own


@cache
def stand() -> tuple[Any, Tensor, Tensor]:
    """A sampler with its graphs, and the logits and rows that these read."""
    from qwen_webui.engines.decode.cuda.sampler import CardSampler

    logits = torch.zeros(ROWS, VOCABULARY, device=CARD)
    rows = torch.full((ROWS,), ROWS, dtype=torch.int32, device=CARD)
    own = CardSampler(logits, rows)
    own.capture((1, 2, 4, 8, 16, 32))
    return own, logits, rows


def scores(count: int, seed: int, width: float = 4.0) -> Tensor:
    """Like a model's: few that stand out."""
    generator = torch.Generator(CARD).manual_seed(seed)
    return torch.randn(count, VOCABULARY, device=CARD, generator=generator) * width


def said(own: Sampler, logits: Rows, drawings: list[Drawing]) -> list[int]:
    """Tokens of one draw, all of whose rows have numbers."""
    found = own.draw(logits, drawings).read()
    assert all(choice.finite for choice in found)
    return [choice.token for choice in found]


@pytest.mark.parametrize("graph", [True, False])
def test_tokens_are_those_of_the_plain_sampler(graph: bool) -> None:
    own, step, rows = stand()
    plain = Sampler(ROWS, VOCABULARY, torch.device(CARD))
    cases = [case for case in FEW if not (graph and "logit_bias" in case)]
    ours = [drawing(5 + place, place, **case) for place, case in enumerate(cases)]
    theirs = [drawing(5 + place, place, **case) for place, case in enumerate(cases)]
    for a, b in zip(ours, theirs, strict=True):
        own.seat(a, PROMPT)
        plain.seat(b, PROMPT)
    same = told = 0
    for turn in range(20):
        logits = scores(len(cases), turn)
        if graph:
            rows[: len(cases)].copy_(torch.tensor([d.row for d in ours], dtype=torch.int32))
            step[: len(cases)].copy_(logits)
        found = said(own, step[: len(cases)] if graph else logits, ours)
        wanted = said(plain, logits, theirs)
        same += sum(a == b for a, b in zip(found, wanted, strict=True))
        told += len(found)
        # Penalties go on from the same history.
        for mine, a, b in zip(theirs, found, wanted, strict=True):
            plain._said[mine.row, b] -= 1
            plain._said[mine.row, a] += 1
    # A number on the border between two tokens may be rounded to either.
    assert same >= told - 1


def test_a_mask_and_one_token_only() -> None:
    own, _, _ = stand()
    words = torch.zeros(VOCABULARY // 32, dtype=torch.int32)
    words[100] = 0b1010
    masked, only, free = drawing(0, 1), drawing(1, 2), drawing(2, 3, top_k=3)
    for each in (masked, only, free):
        own.seat(each, [])
    masked.mask, only.mask = Mask(None, words), Mask(77, None)
    tokens = {tuple(said(own, scores(3, turn, 0.5), [masked, only, free])) for turn in range(30)}
    assert {first for first, _, _ in tokens} == {3201, 3203}
    assert {second for _, second, _ in tokens} == {77}


def test_draws_do_not_depend_on_row_or_company() -> None:
    own, step, rows = stand()
    default = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
    for asked in (default, {}, {"top_p": 0.9}):
        alone: list[int] = []
        mine = drawing(3, 11, **asked)
        own.seat(mine, [])
        for turn in range(6):
            alone += said(own, scores(1, turn), [mine])
        for row, company in ((0, 0), (31, 20), (9, 31)):
            others = [drawing(r, r, **asked) for r in range(32) if r != row][:company]
            mine = drawing(row, 11, **asked)
            batch = [*others[: company // 2], mine, *others[company // 2 :]]
            for each in batch:
                own.seat(each, [])
            rows[: len(batch)].copy_(torch.tensor([d.row for d in batch], dtype=torch.int32))
            for turn in range(6):
                step[: len(batch)].copy_(scores(len(batch), 100 + turn))
                step[company // 2].copy_(scores(1, turn)[0])
                assert said(own, step[: len(batch)], batch)[company // 2] == alone[turn]


def test_a_draw_that_is_refused_is_made_anew() -> None:
    own, _, _ = stand()
    mine, logits = drawing(4, 5), scores(1, 1, 1.0)
    all_of_them = Mask(None, torch.full((VOCABULARY // 32,), -1, dtype=torch.int32))
    own.seat(mine, [])
    mine.mask = all_of_them
    first = said(own, logits, [mine])[0]
    own.unsay(mine, first)
    second = said(own, logits, [mine])[0]
    own.unsay(mine, second)
    mine.attempt = 0
    assert said(own, logits, [mine])[0] == first != second
    assert int(own._said[4].sum()) == 1


@pytest.mark.parametrize(
    ("asked", "kept"), [({}, 4), ({"top_p": 0.85}, 3), ({"min_p": 0.6}, 2), ({"top_k": 3}, 3)]
)
@pytest.mark.parametrize("crowd", [1, 3000])
def test_how_often_each_token_comes(asked: dict[str, Any], kept: int, crowd: int) -> None:
    """Probabilities 0.4, 0.3, 0.2 and 0.1, each of one token or shared by a crowd of equals, which
    are too many to be sorted: chi-square over 4,000 draws."""
    if crowd > 1 and "top_k" in asked:
        asked = {"top_k": asked["top_k"] * crowd}
    own, _, _ = stand()
    likely = torch.tensor([0.4, 0.3, 0.2, 0.1])
    logits = torch.full((1, VOCABULARY), -torch.inf, device=CARD)
    logits[0] = -1e4
    for place, probability in enumerate(likely.tolist()):
        logits[0, 1000 + place :: 8][:crowd] = torch.tensor(probability / crowd).log()
    logits = logits.expand(ROWS, -1).contiguous()
    batch = [drawing(row, 1000 + row, **asked) for row in range(ROWS)]
    for each in batch:
        own.seat(each, [])
    seen = torch.zeros(8)
    for _ in range(125):
        for token in said(own, logits, batch):
            seen[(token - 1000) % 8] += 1
    wanted = torch.cat([likely[:kept] / likely[:kept].sum(), torch.zeros(4 - kept)])
    assert seen[4:].sum() == 0 and seen[:4][wanted == 0].sum() == 0
    counts = wanted[:kept] * seen.sum()
    square = float(((seen[:kept] - counts) ** 2 / counts).sum())
    # 99.99 % of three degrees of freedom.
    assert square < 21.1


def test_what_is_not_a_number_costs_its_row_alone() -> None:
    own, step, rows = stand()
    batch = [drawing(row, row, top_k=20) for row in range(3)]
    for each in batch:
        own.seat(each, [])
    rows[:3].copy_(torch.arange(3, dtype=torch.int32))
    step[:3].copy_(scores(3, 1))
    step[1, 5], step[2, 151_000] = torch.nan, torch.inf
    assert [choice.finite for choice in own.draw(step[:3], batch).read()] == [True, False, False]


def test_logprobs_are_the_models_own() -> None:
    own, _, _ = stand()
    mine, logits = drawing(0, 1, temperature=0.5, top_k=5, logprobs=3), scores(1, 7)
    own.seat(mine, [])
    (choice,) = own.draw(logits, [mine]).read()
    wanted = torch.log_softmax(logits[0], -1)
    assert choice.logprobs is not None
    assert choice.logprobs.chosen == pytest.approx(float(wanted[choice.token]), abs=1e-4)
    assert choice.logprobs.tokens == wanted.topk(3).indices.tolist()


def test_rows_from_elsewhere_are_drawn_in_the_same_graph() -> None:
    """As the scheduler hands them over: the step's free rows in their places, then constrained
    ones, some from earlier steps; what else the step computed draws nothing."""
    own, step, rows = stand()
    asked = {"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.05}
    batch = [drawing(row, row, **asked) for row in (4, 9, 2, 30)]
    alone: list[int] = []
    logits = scores(4, 3)
    for place, each in enumerate(batch):
        own.seat(each, PROMPT)
        alone += said(own, logits[place][None], [each])
        each.index = 0
        own.seat(each, PROMPT)
    other = drawing(17, 1)
    own.seat(other, [])
    before = own._said.clone()
    # The step had computed rows 4, 9, 17 and 30 in this order.
    step[:4].copy_(torch.stack([logits[0], logits[1], scores(1, 9)[0], logits[3]]))
    rows[:4].copy_(torch.tensor([4, 9, 17, 30], dtype=torch.int32))
    assert said(own, [step[0], step[1], logits[2], logits[3]], batch) == alone
    spoken = (own._said != before).sum(1)[:ROWS].tolist()
    assert [row for row, count in enumerate(spoken) if count] == [2, 4, 9, 30]
