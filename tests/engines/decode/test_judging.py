"""Who keeps an answer to its constraint looks ahead where there is no choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch

from qwen_webui.engines.constraint import Guide
from qwen_webui.engines.decode.judging import FAR, Judge
from qwen_webui.engines.decode.sampling import Mask
from qwen_webui.engines.decode.sequence import Verdict

STOP = 9


class Written:
    """A guide that knows its text: a token where there is no choice, a set where there is one."""

    closing = False

    def __init__(self, text: list[int | set[int]]) -> None:
        self._text = text

    @property
    def complete(self) -> bool:
        return not self._text

    def look(self) -> int | None:
        return self._text[0] if isinstance(self._text[0], int) else None

    def allowed(self) -> torch.Tensor:
        may = self._text[0]
        assert isinstance(may, set)
        return torch.tensor([sum(1 << token for token in may)], dtype=torch.int32)

    def take(self, token: int) -> bool:
        # Of a choice the largest alone leads to an end.
        may = self._text[0]
        stands = token == may if isinstance(may, int) else token == max(may)
        if stands:
            self._text.pop(0)
        return stands

    def close(self) -> int:
        self._text = []
        return STOP


@pytest.fixture
def judged() -> Callable[..., tuple[Judge, list[Verdict]]]:
    def make(*text: Any) -> tuple[Judge, list[Verdict]]:
        verdicts: list[Verdict] = []
        judge = Judge(cast(Guide, Written(list(text))), frozenset({STOP}), verdicts.extend)
        verdicts.extend(judge.first())
        return judge, verdicts

    return make


def only(verdicts: list[Verdict]) -> list[int | None]:
    return [verdict.mask.only for verdict in verdicts]


def test_tokens_without_choice_are_known_up_to_the_next_choice(judged: Any) -> None:
    judge, verdicts = judged(1, 2, {3, 4}, 5, 6)
    assert only(verdicts) == [1, 2, None]
    for token in (1, 2):
        assert judge.stands(token)
        judge.go_on()
        # Its verdict was there before.
        assert len(verdicts) == 3
    assert judge.stands(4)
    judge.go_on()
    assert only(verdicts) == [1, 2, None, 5, 6]
    assert judge.stands(5)
    judge.go_on()
    # The guide is at its end, what is said is not.
    assert not judge.complete
    assert judge.stands(6) and judge.complete


def test_what_does_not_stand_is_asked_for_again(judged: Any) -> None:
    judge, verdicts = judged({3, 4}, 5)
    assert not judge.stands(3)
    assert verdicts[-1].redo and verdicts[-1].mask.words.tolist() == [1 << 4]
    assert judge.stands(4)
    judge.go_on()
    assert only(verdicts) == [None, None, 5] and not verdicts[-1].redo


def test_without_a_way_on_the_answer_is_brought_to_its_end(judged: Any) -> None:
    judge, verdicts = judged({4})
    assert not judge.stands(3)
    judge, verdicts = judged({3, 4})
    verdicts.clear()
    judge._words = torch.tensor([1 << 3], dtype=torch.int32)
    assert not judge.stands(3)
    assert verdicts == [Verdict(Mask(STOP, None), redo=True)]
    assert judge.stands(STOP) and judge.complete


def test_an_endless_run_without_choice_comes_in_parts(judged: Any) -> None:
    judge, verdicts = judged(*range(1, 9), *range(1, 9), *range(1, 9))
    assert len(verdicts) == FAR
    for place in range(FAR):
        assert judge.stands(verdicts[place].mask.only)
        judge.go_on()
    assert len(verdicts) == 24
