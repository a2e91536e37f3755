"""`fidelity`, entered as a person does: over the scripted engine, whose figures can be worked out
by hand, and for real on the embedded checkpoint."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qwen_webui import cli
from qwen_webui.checkpoints.catalogue import demo_folder
from qwen_webui.command_fidelity import FidelityQuestion, measure_here
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import CheckpointError, InvalidRequest, OutOfMemory, WebUIError
from qwen_webui.measure.fidelity import FidelityReport, FidelityRow, load_report
from qwen_webui.measure.fidelity.definitions import DEFINITIONS
from qwen_webui.measure.fidelity.tasks import read_tasks
from qwen_webui.settings import Settings
from qwen_webui.stored import list_stored
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import PRECISIONS, CheckpointSpec, GenerationRequest
from tests.serving import soon

NAME = "fidelity-demo-fp16"
ASKED = FidelityQuestion(precisions=None, tokens=700, tasks=48, top=16)
TASKS = tuple(read_tasks(demo_folder() / "tasks.jsonl"))
ANSWERS = {tuple(m.get("content") or "" for m in t.messages): t.answer for t in TASKS}


def right(_: CheckpointSpec, request: GenerationRequest) -> str:
    """The task's own answer, and one to whatever a load asks for."""
    return ANSWERS.get(tuple(message.content for message in request.messages), "Hello.")


def failing(_: CheckpointSpec, request: GenerationRequest) -> str:
    """Takes a load's trial, and no task."""
    if request.id.startswith("fidelity"):
        raise OutOfMemory("There is no room.")
    return "Hello."


def wrong(_: CheckpointSpec, request: GenerationRequest) -> str:
    return "No."


def scripted(**scripts: Script) -> ScriptedLoader:
    """Good answers, and each next token with the probability 1/e, unless a precision's own script
    says otherwise."""
    named = {f"demo-{name.replace('_', '-')}": script for name, script in scripts.items()}
    return ScriptedLoader(Script(answer=right), named)


async def measured(
    settings: Settings, loader: ScriptedLoader, asked: FidelityQuestion = ASKED
) -> tuple[int, str, str]:
    """Exit code, output, and what went to the console beside it."""
    out, err = io.StringIO(), io.StringIO()
    code = await measure_here(settings, asked, out, err, loader)
    return code, out.getvalue(), err.getvalue()


def report_of(settings: Settings) -> FidelityReport:
    return load_report(settings.data_dir / "measurements" / f"{NAME}.json")


def rows_of(report: FidelityReport) -> Mapping[str, FidelityRow]:
    return {row.precision: row for row in report.rows}


def by_hand(surprise: float) -> float:
    """Two outcomes: the next token, and all others, which both sides hold for equally likely."""
    p, q = math.exp(-1), math.exp(-surprise)
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


async def test_the_figures_are_those_worked_out_by_hand(settings: Settings) -> None:
    vocabulary = ChatTokenizer.load(demo_folder() / "demo-fp16").vocabulary
    unlikely = math.log(2 * vocabulary)  # less likely than any other: every argmax differs
    loader = scripted(
        gptq_int8=Script(answer=right, surprise=1.1),
        gptq_int4=Script(answer=right, surprise=2.0),
        awq_int4=Script(answer=wrong, surprise=unlikely),
    )
    code, out, err = await measured(settings, loader)
    assert code == 0, err
    report = report_of(settings)
    assert report.complete and [row.precision for row in report.rows] == list(PRECISIONS)
    assert loader.loads == [f"demo-{precision}" for precision in PRECISIONS], "one after another"
    surprises = {"gptq-int8": 1.1, "gptq-int4": 2.0, "awq-int4": unlikely}
    for name, row in rows_of(report).items():
        assert row.error is None and (row.kernel, row.dtype) == ("scripted", "float32")
        assert row.tasks is not None and row.perplexity is not None
        # One task asks for plain prose and nothing else, which any word is.
        assert row.tasks.value == (1 / 48 if name == "awq-int4" else 1.0)
        if name == "fp16":
            assert row.is_reference and (row.kl, row.flips, row.perplexity_ratio) == (None,) * 3
            assert row.perplexity.value == pytest.approx(math.e)
            continue
        surprise = surprises[name]
        assert row.kl is not None and row.flips is not None and row.perplexity_ratio is not None
        assert row.kl.value == pytest.approx(by_hand(surprise), rel=1e-4)
        assert row.kl.n == row.flips.n == row.perplexity.n == 700
        assert row.flips.value == (name == "awq-int4")
        assert row.perplexity.value == pytest.approx(math.exp(surprise))
        assert row.perplexity_ratio.value == pytest.approx(math.exp(surprise - 1))
    awq, int8 = rows_of(report)["awq-int4"], rows_of(report)["gptq-int8"]
    assert awq.quotations is not None and awq.json_valid is not None
    assert (awq.quotations.value, awq.json_valid.value) == (0, 0)
    assert int8.quotations is not None and int8.json_valid is not None
    assert (int8.quotations.value, int8.json_valid.value) == (1, 1)
    assert sum(row.total for row in int8.skills) == 48
    assert "gptq-int8" in out and "others, on the official" in out and "demo-awq-int4" in err


async def test_a_precision_that_fails_is_a_row_with_its_reason(settings: Settings) -> None:
    loader = scripted(
        gptq_int8=Script(load_error=CheckpointError("The weights are damaged.")),
        gptq_int4=Script(answer=failing),
    )
    code, out, _ = await measured(settings, loader, replace(ASKED, tokens=100, tasks=3))
    rows = rows_of(report_of(settings))
    assert code == 1 and "The weights are damaged." in out and "There is no room." in out
    assert rows["gptq-int8"].error == "The weights are damaged." and rows["gptq-int8"].kl is None
    # What it had measured before stands.
    assert rows["gptq-int4"].kl is not None and rows["gptq-int4"].tasks is None
    assert rows["awq-int4"].error is None and rows["fp16"].error is None


async def test_without_the_reference_what_stands_alone_is_measured(settings: Settings) -> None:
    loader = scripted(fp16=Script(load_error=CheckpointError("It is torn.")))
    code, _, _ = await measured(settings, loader, replace(ASKED, tokens=100, tasks=3))
    rows = rows_of(report_of(settings))
    assert code == 1 and rows["fp16"].error == "It is torn."
    for name in PRECISIONS[1:]:
        row = rows[name]
        assert row.kl is None and "nothing to compare" in (row.error or "")
        assert row.perplexity is not None and row.perplexity.value == pytest.approx(math.e)
        assert row.tasks is not None and row.tasks.value == 1


async def test_stopped_it_keeps_what_is_done_and_goes_on_from_there(settings: Settings) -> None:
    asked = replace(ASKED, tokens=300, tasks=0)
    loader = scripted(gptq_int4=Script(load_delay=1_000))
    running = asyncio.create_task(measured(settings, loader, asked))
    await soon(lambda: "demo-gptq-int4" in loader.loads, seconds=60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    stopped = report_of(settings)
    assert not stopped.complete and list(rows_of(stopped)) == ["fp16", "gptq-int8"]
    names = {part.name for part in list_stored(settings.data_dir)}
    assert {"fidelity", "measurements"} <= names
    again = scripted()
    assert (await measured(settings, again, asked))[0] == 0
    assert "demo-fp16" not in again.loads, "what the reference said is kept"
    assert rows_of(report_of(settings))["gptq-int8"].kl == rows_of(stopped)["gptq-int8"].kl


async def test_a_damaged_file_is_read_anew(settings: Settings) -> None:
    asked = replace(ASKED, tokens=300, tasks=0, precisions=("gptq-int8",))
    loader = scripted(gptq_int8=Script(surprise=2.0))
    await measured(settings, loader, asked)
    first = report_of(settings).rows
    kept = sorted((settings.data_dir / "fidelity").iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    again = scripted(gptq_int8=Script(surprise=2.0))
    await measured(settings, again, asked)
    assert again.loads == ["demo-fp16", "demo-gptq-int8"]
    assert report_of(settings).rows[0].kl == first[0].kl
    assert [row.precision for row in first] == ["gptq-int8"]


async def test_a_text_of_the_users_and_a_folder_for_the_files(
    settings: Settings, tmp_path: Path
) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("The ferry leaves twice a day. " * 40, encoding="utf-8")
    asked = replace(
        ASKED, text=text, out=tmp_path / "out", precisions=("fp16", "awq-int4"), tasks=3,
        as_json=True,
    )  # fmt: skip
    code, out, _ = await measured(settings, scripted(), asked)
    assert code == 0 and json.loads(out)["definitions"] == dict(DEFINITIONS)
    report = load_report(tmp_path / "out" / f"{NAME}.json")
    assert report.surroundings.texts[0].startswith("mine.txt (1200 characters")
    assert "--text" in report.surroundings.command and report.surroundings.versions["torch"]
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / f"{NAME}.csv").read_text())))
    assert [line["precision"] for line in lines[:2]] == ["fp16", "awq-int4"]
    assert float(lines[1]["kl"]) == 0 and lines[0]["kl"] == ""
    assert [line["kl"] for line in lines[2:]] == ["0.0006", "0.0283", "0.0425"]
    page = (tmp_path / "out" / f"{NAME}.md").read_text(encoding="utf-8")
    assert all(text in page for text in DEFINITIONS.values())
    assert report.surroundings.hardware in page and report.surroundings.command in page


@pytest.mark.parametrize(
    ("model", "change", "says"),
    [
        ("demo-awq-int4", {}, "--model names the unquantised"),
        (None, {"tokens": 0}, "--tokens"),
        (None, {"top": 100_000}, "--top"),
        (None, {"tasks": -1}, "--tasks"),
        (None, {"text": Path("nowhere.txt")}, "nowhere.txt"),
        ("Qwen/Qwen2.5-7B", {"precisions": ("awq-int4",)}, "--also"),
        (None, {"also": ("demo-xyz",)}, "demo-xyz"),
    ],
)
async def test_what_cannot_be_measured_is_a_sentence(
    settings: Settings, model: str | None, change: dict[str, object], says: str
) -> None:
    settings = settings.model_copy(update={"model": model})
    loader = scripted()
    with pytest.raises(WebUIError, match=says):
        await measured(settings, loader, replace(ASKED, **change))
    assert loader.loads == []


async def test_other_checkpoints_can_stand_beside(settings: Settings) -> None:
    asked = replace(
        ASKED, precisions=("fp16",), also=(str(demo_folder() / "demo-awq-int4"),), tasks=0
    )
    settings = settings.model_copy(update={"model": str(demo_folder() / "demo-fp16")})
    assert (await measured(settings, scripted(), asked))[0] == 0
    found = list((settings.data_dir / "measurements").glob("*.json"))
    assert [row.precision for row in load_report(found[0]).rows] == ["fp16", "awq-int4"]


def test_another_file_is_no_report(tmp_path: Path) -> None:
    for text in ("{}", "[]", "no", '{"format": "qwen-webui fidelity 9"}'):
        (tmp_path / "report.json").write_text(text)
        with pytest.raises(InvalidRequest, match=r"report\.json"):
            load_report(tmp_path / "report.json")


@pytest.mark.slow
def test_for_real_on_the_embedded_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All four precisions over one half of a text, and two over the other half: two runs, whose
    intervals must meet. What is loaded again over the same text gives the same figures."""
    said = [f"{task.messages[-1]['content']} {task.answer}\n" for task in TASKS]
    folder, found = tmp_path / "data", []
    for place, words in enumerate(
        (
            ["--tasks", "1", "--also", str(demo_folder() / "demo-gptq-int4")],
            ["--tasks", "0", "--precisions", "gptq-int4", "awq-int4"],
        )
    ):
        half = tmp_path / f"half-{place}.txt"
        half.write_text("".join(said[place::2]), encoding="utf-8")
        words += ["--text", str(half), "--tokens", "1536", "--top", "64"]
        assert cli.main(["fidelity", "--device", "cpu", "--data-dir", str(folder), *words]) == 0, (
            capsys.readouterr().err
        )
        found.append(load_report(folder / "measurements" / f"{NAME}.json").rows)
    fp16, int8, int4, awq, again = found[0]
    assert fp16.tasks is not None and fp16.tasks.n == 1 and fp16.perplexity is not None
    for worse in (int4, awq):
        assert int8.kl is not None and worse.kl is not None
        assert 0 < int8.kl.value < 0.1 * worse.kl.value
        assert int8.flips is not None and worse.flips is not None
        assert int8.flips.value < worse.flips.value < 0.5
    for figure in ("kl", "flips", "perplexity", "perplexity_ratio"):
        assert getattr(again, figure) == getattr(int4, figure)
        for one, two in zip((int4, awq), found[1], strict=True):
            mine, others = getattr(one, figure), getattr(two, figure)
            assert mine.low <= mine.value <= mine.high
            assert mine.low <= others.high and others.low <= mine.high, (one.precision, figure)
