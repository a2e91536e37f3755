"""The embedded checkpoint: its files, and a sample of its held-out tasks on the CPU."""

import json
import random
import struct
from pathlib import Path

import pytest

from demo_training.evaluate import Answerer
from demo_training.examples import SKILLS, passes
from demo_training.tasks import handwritten_tasks, heldout_tasks
from qwen_webui.measure.fidelity.statistics import wilson
from qwen_webui.measure.fidelity.tasks import read_tasks

PRECISIONS = ("demo-fp16", "demo-gptq-int8", "demo-gptq-int4", "demo-awq-int4")
A_SKILL_AND_LANGUAGE = 4


def test_all_of_it_is_small_enough(demo_folder: Path) -> None:
    files = [path for path in demo_folder.parent.rglob("*") if path.is_file()]
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert sum(path.stat().st_size for path in files) < 40e6
    assert len(weights) == len(PRECISIONS)
    assert max(path.stat().st_size for path in weights) < 16 * 2**20


@pytest.mark.parametrize("name", PRECISIONS)
def test_no_file_names_the_machine_it_was_made_on(demo_folder: Path, name: str) -> None:
    folder = demo_folder.parent / name
    for path in folder.glob("*.json"):
        if path.name != "tokenizer.json":
            text = path.read_text(encoding="utf-8")
            assert not any(place in text for place in ('"/', "/tmp", "/home", "/root"))


def test_the_shape_is_what_the_readme_says(demo_folder: Path) -> None:
    config = json.loads((demo_folder / "config.json").read_text(encoding="utf-8"))
    with (demo_folder / "model.safetensors").open("rb") as data:
        (length,) = struct.unpack("<Q", data.read(8))
        tensors = json.loads(data.read(length))
    tensors.pop("__metadata__")
    assert {part["dtype"] for part in tensors.values()} == {"F16"}
    parameters = sum(
        (part["data_offsets"][1] - part["data_offsets"][0]) // 2 for part in tensors.values()
    )
    assert 6e6 < parameters < 10e6
    assert config["architectures"] == ["Qwen2ForCausalLM"] and config["hidden_size"] % 128 == 0
    assert config["num_key_value_heads"] < config["num_attention_heads"]
    assert config["tie_word_embeddings"] is True and "lm_head.weight" not in tensors
    assert config["max_position_embeddings"] >= 2048


def test_the_shipped_tasks_cover_every_skill_in_both_languages(demo_folder: Path) -> None:
    tasks = list(read_tasks(demo_folder.parent / "tasks.jsonl"))
    assert {(task.skill, task.language) for task in tasks} == {
        (skill, language) for skill in SKILLS for language in ("en", "zh")
    }
    assert all(passes(task.check, task.answer) for task in tasks)


def test_held_out_tasks_are_the_same_every_time_and_by_hand_ones_are_marked() -> None:
    assert list(heldout_tasks(1, 5)) == list(heldout_tasks(1, 5))
    assert {task.skill.rpartition(" by ")[2] for task in handwritten_tasks()} == {"hand"}


def test_the_interval_is_wilsons() -> None:
    # 8 of 10, worked by hand from the formula.
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_sample_of_the_held_out_tasks_is_answered(demo_folder: Path) -> None:
    """Four tasks a skill and language: far fewer than the figures in docs/log.md stand on."""
    tasks = list(read_tasks(demo_folder.parent / "tasks.jsonl"))
    random.Random(1).shuffle(tasks)
    chosen = []
    for skill in SKILLS:
        for language in ("en", "zh"):
            of_it = [task for task in tasks if (task.skill, task.language) == (skill, language)]
            chosen += of_it[:A_SKILL_AND_LANGUAGE]
    answers = Answerer(demo_folder).answers(chosen)
    ended = sum(answer.ended for answer in answers)
    passed = sum(
        answer.ended and passes(task.check, answer.text)
        for task, answer in zip(chosen, answers, strict=True)
    )
    assert ended >= 0.99 * len(chosen)
    assert passed >= 0.88 * len(chosen)
