"""Windows cover a text once; the tasks and texts are what they say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qwen_webui.checkpoints.catalogue import demo_folder
from qwen_webui.errors import InvalidRequest, NotFound
from qwen_webui.measure.fidelity.checks import passes
from qwen_webui.measure.fidelity.heldout import tasks_for, texts_for, unseen
from qwen_webui.measure.fidelity.tasks import Task, chosen, is_valid, judged, read_tasks
from qwen_webui.measure.fidelity.texts import CONTEXT, Text, own_texts, read_text, windows
from qwen_webui.quantize.calibration import samples
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Message

FP16 = demo_folder() / "demo-fp16"
SHIPPED = demo_folder() / "tasks.jsonl"


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer.load(FP16)


def test_windows_score_every_position_once(tokenizer: ChatTokenizer) -> None:
    for text in own_texts():
        ids = tokenizer.encode(text.content)
        found = windows([text], tokenizer, 1_000_000)
        scored = [
            token for w in found for token in w.token_ids[w.start + 1 : w.start + 1 + w.positions]
        ]
        assert scored == ids[1:]
        assert [w.place for w in found] == [256 * n for n in range(len(found))]
        assert all(len(w.token_ids) <= CONTEXT and w.positions <= 256 for w in found)
        assert {w.start for w in found[1:]} == {256}, "all but the first see 256 tokens before"


def test_tokens_are_shared_between_texts(tokenizer: ChatTokenizer) -> None:
    found = windows(own_texts(), tokenizer, 600)
    assert Counter({0: 300, 1: 300}) == sum(
        (Counter({w.text: w.positions}) for w in found), Counter()
    )
    with pytest.raises(InvalidRequest, match="two tokens"):
        windows([Text("short", "a")], tokenizer, 600)


def test_a_text_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Guten Tag", encoding="utf-8")
    assert read_text(tmp_path / "a.txt").label.startswith("a.txt (9 characters, sha256 ")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read_text(tmp_path / "b.txt")
    with pytest.raises(NotFound, match="--text"):
        read_text(tmp_path / "none.txt")


def test_no_task_is_one_that_calibration_saw(tokenizer: ChatTokenizer) -> None:
    seen = {tuple(ids) for ids in samples(FP16, None, 128)}
    every = list(read_tasks(SHIPPED))
    kept = unseen(every)
    assert (len(seen), len(kept)) == (128, len(every) - 128)
    plain = [task for task in kept if all("tool_calls" not in m for m in task.messages)]
    assert len(plain) > 300
    for task in plain:
        messages = [Message(m["role"], m.get("content") or "") for m in task.messages]
        ids = tokenizer.encode_chat(messages, task.tools) + tokenizer.encode(task.answer)
        assert tuple(ids[:2_048]) not in seen


@pytest.mark.parametrize("family", ["demo", "qwen2.5"])
def test_the_reference_answers_pass_every_rule(family: str) -> None:
    tasks, _ = tasks_for(family, SHIPPED)
    found = [judged(task, task.answer, ended=True) for task in tasks]
    assert all(one.passed and one.json_valid in (None, True) for one in found)
    quoted = [one for one in found if one.quoted]
    assert len(quoted) > 10 and all(one.verified == one.quoted for one in quoted)
    assert any(one.json_valid for one in found)
    assert not any(judged(task, task.answer, ended=False).passed for task in tasks)
    assert len(texts_for(family, tasks)) in (1, 2)


def test_tasks_are_chosen_evenly() -> None:
    tasks, _ = tasks_for("demo", SHIPPED)
    counts = Counter((task.skill, task.language) for task in chosen(tasks, 48))
    assert len(counts) == 24 and set(counts.values()) == {2}
    assert chosen(tasks, 10**6) and chosen(tasks, 0) == []


def test_a_quotation_that_is_not_there_or_missing_counts_against() -> None:
    messages = (
        {"role": "user", "content": "[p. 4]\nThe tower of Orlen is 41 metres high.\n\nHow?"},
    )
    check = {"kind": "quote", "sentence": "The tower of Orlen is 41 metres high.", "page": 4}
    task = Task("quote", "en", messages, (), check, "")
    for text, expected in (
        ('"The tower of Orlen is 41 metres high." [p. 4]', (1, 1)),
        ('"The tower of Orlen is 42 metres high." [p. 4]', (1, 0)),
        ('"The tower of Orlen is 41 metres high." [p. 5]', (1, 0)),
        ("It is 41 metres high.", (1, 0)),
    ):
        one = judged(task, text, ended=True)
        assert (one.quoted, one.verified) == expected, text
        assert one.passed == (expected == (1, 1)) == passes(check, text)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1, "b": ["x"]}', True),
        ('```json\n{"a": null, "b": []}\n```', True),
        ('{"a": 1}', False),
        ('{"a": 1, "b": ["x"], "c": 1}', False),
        ('{"a": {}, "b": ["x"]}', False),
        ('Here: {"a": 1, "b": ["x"]}', False),
        ('{"a": 1, "b": ["x"]', False),
    ],
)
def test_json_is_judged_by_its_form(text: str, valid: bool) -> None:
    assert is_valid(text, {"kind": "json", "value": {"a": "1", "b": ["y"]}}) is valid
    schema = {"type": "object", "required": ["c"]}
    assert is_valid('{"c": 1}', {"kind": "json", "value": {}, "schema": schema})
    assert not is_valid('{"d": 1}', {"kind": "json", "value": {}, "schema": schema})
