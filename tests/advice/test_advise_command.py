"""`python app.py advise`: lines and JSON, here and for a machine that is only named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwen_webui import cli
from qwen_webui.checkpoints import catalogue
from qwen_webui.measure.surroundings import hardware
from qwen_webui.memory import machine_memory
from tests.measure.speed.reports import answers, report, row, written


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["advise", "--data-dir", str(tmp_path / "none"), *words])
    said = capsys.readouterr()
    assert not (tmp_path / "none").exists(), "advice must not create the data folder"
    return code, said.out, said.err


def test_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--memory", "8", "--cards", "1", "--card", "RTX 4060", "--use", "code")
    code, out, _ = run(tmp_path, capsys, *words)
    assert code == 0
    for text in (
        "Qwen2.5-7B-Instruct AWQ-Int4",
        "weights 5.2 GiB + KV cache 0.4 GiB + activations 0.6 GiB + overhead 1.3 GiB = 7.5 GiB; "
        "0.1 GiB free",
        "about 31 tokens/s",
        "For code the guide advises AWQ-Int4",
        "start: python app.py --model qwen2.5-7b-instruct-awq-int4 --max-context 8192",
    ):
        assert text in out, out


def test_in_chinese(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(tmp_path, capsys, "--memory", "24", "--cards", "2", "--language", "zh")
    assert code == 0 and "共有 2 块显卡" in out and "指南建议日常对话" in out


def test_json_of_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(tmp_path, capsys, "--device", "cpu", "--context", "512", "--json")
    found: dict[str, Any] = json.loads(out)
    assert (found["machine"]["device"], found["context"]) == ("cpu", 512)
    assert (code == 0) == (found["recommended"] is not None)
    if found["recommended"]:
        parts = ("weights", "kv_cache", "activations", "overhead")
        option = found["recommended"]
        assert sum(option[part] for part in parts) == option["needed"]
        assert option["needed"] + option["spare"] == found["machine"]["free"]


def test_nothing_fits_is_told_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(tmp_path, capsys, "--memory", "1")
    assert code == 1 and "are missing" in out and "start:" not in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--cards", "2"), "memory"),
        (("--memory", "-3"), "-3 GiB"),
        (("--context", "200000"), "131,072"),
        (("--context", "0"), "256 to"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
) -> None:
    code, _, err = run(tmp_path, capsys, *words)
    assert code == 1 and err.startswith("qwen-webui: ") and named in err


def test_offline_only_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(tmp_path, capsys, "--memory", "24", "--offline")
    assert code == 1 and "No checkpoint of Qwen2.5 that can be loaded here" in out


@pytest.mark.parametrize("here", [True, False])
def test_what_was_measured_on_this_machine_is_told_in_place_of_a_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], here: bool
) -> None:
    rows = (row(spec.name, answers(12.34)) for spec in catalogue())
    machine = hardware(machine_memory("cpu")) if here else "another machine"
    written(tmp_path, "x", report(machine, *rows))
    words = ["advise", "--device", "cpu", "--context", "512", "--data-dir", str(tmp_path)]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert ("12 tokens/s, measured here" in out) == here
    assert ("at most" in out) != here
    # Of a machine that is only named nothing was measured.
    assert cli.main([*words, "--memory", "24", "--cards", "0"]) == 0
    assert "measured here" not in capsys.readouterr().out
