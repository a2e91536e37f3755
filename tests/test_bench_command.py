"""`bench`, entered as a person does: over the scripted engine with times that can be worked out by
hand, and for real on the embedded checkpoint."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qwen_webui import cli
from qwen_webui.checkpoints.catalogue import demo_folder, demo_specs
from qwen_webui.command_bench import BenchQuestion, measure_here
from qwen_webui.engines.scripted import Script, ScriptedEngine, ScriptedLoader
from qwen_webui.errors import CheckpointError, OutOfMemory, WebUIError
from qwen_webui.measure.speed import SpeedReport, SpeedRow, load_report
from qwen_webui.settings import Settings
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import (
    PRECISIONS,
    CheckpointSpec,
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    Usage,
)
from tests.serving import soon

NAME = "speed-demo-fp16"
ASKED = BenchQuestion(None, inputs=(1, 40), outputs=9, repeat=3, concurrency=(1, 2))
LONG = "word " * 3_000


def endless(_: CheckpointSpec, request: GenerationRequest) -> str:
    return LONG


def ends_unless_held_back(_: CheckpointSpec, request: GenerationRequest) -> str:
    return LONG if request.sampling.logit_bias else "Done."


def without_room(_: CheckpointSpec, request: GenerationRequest) -> str:
    """For long inputs, of which the text is not known here but the length is."""
    if request.prompt is not None and len(request.prompt) > 30:
        raise OutOfMemory("There is no room.")
    return LONG


def scripted(**scripts: Script) -> ScriptedLoader:
    """Answers without end, unless a precision's own script says otherwise."""
    named = {f"demo-{name.replace('_', '-')}": script for name, script in scripts.items()}
    return ScriptedLoader(Script(answer=endless), named)


async def measured(
    settings: Settings, loader: ScriptedLoader, asked: BenchQuestion = ASKED
) -> tuple[int, str, str]:
    """Exit code, output, and what went to the console beside it."""
    out, err = io.StringIO(), io.StringIO()
    code = await measure_here(settings, asked, out, err, loader)
    return code, out.getvalue(), err.getvalue()


def report_of(settings: Settings) -> SpeedReport:
    return load_report(settings.data_dir / "measurements" / f"{NAME}.json")


def rows_of(report: SpeedReport) -> Mapping[str, SpeedRow]:
    return {row.precision: row for row in report.rows}


def lengths_of(row: SpeedRow) -> list[tuple[int, int, int]]:
    return [(one.input_tokens, one.output_tokens, one.at_once) for one in row.answers]


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every answer says a first token after half a second and one more each quarter, times what
    is taken from this list while there is something in it."""
    factors: list[float] = []

    async def stream(
        engine: ScriptedEngine, request: GenerationRequest
    ) -> AsyncGenerator[GenerationEvent, None]:
        count, prompt = request.sampling.max_new_tokens or 0, len(request.prompt or "Hello")
        by = factors.pop(0) if factors and request.id == "speed" and count == 9 else 1.0
        yield TextDelta("x" * count, tuple(range(count)))
        yield Finished("length", Usage(prompt, count, 0, by * 0.5, by * (0.5 + 0.25 * (count - 1))))

    monkeypatch.setattr(ScriptedEngine, "stream", stream)
    return factors


async def test_the_figures_are_those_worked_out_by_hand(
    settings: Settings, by_hand: list[float]
) -> None:
    by_hand += [4.0, 1.0, 2.0]
    loader = scripted()
    loader.copies = 2e9
    code, out, err = await measured(settings, loader, replace(ASKED, precisions=("fp16",)))
    assert code == 0, err
    report = report_of(settings)
    (row,) = report.rows
    assert report.complete and report.copy_rate == 2e9
    assert lengths_of(row) == [(1, 9, 1), (40, 9, 1), (1, 9, 2)]
    assert (row.kernel, row.dtype, row.stops_held_back) == ("scripted", "float32", False)
    first, longer, two = row.answers
    # Nine tokens in 10, 2.5 and 5 s; the eight after the first in 8, 2 and 4 s.
    assert first.whole is not None and first.decode is not None and first.first_token is not None
    assert (first.whole.median, first.whole.low, first.whole.high) == (9 / 5, 9 / 10, 9 / 2.5)
    assert (first.decode.median, first.decode.low, first.decode.high) == (2.0, 1.0, 4.0)
    assert (first.first_token.median, first.first_token.n) == (1.0, 3)
    # 9 layers x 2 KV heads x 64 x keys and values x 4 bytes; the table is tied, so all is read.
    weights = loader_weights()
    assert row.kv_bytes_per_token == 9_216 and row.weights_bytes == weights
    assert first.bytes_per_token == weights + 9_216 * 5.5
    assert longer.bytes_per_token == weights + 9_216 * 44.5
    assert first.limit == pytest.approx(2e9 / first.bytes_per_token)
    assert first.share == pytest.approx(2.0 / first.limit)
    assert two.whole is not None and two.whole.n == 6 and two.limit is None
    assert two.together is not None and two.together.n == 3
    # What the scripted worker has: a base, and the weights while they are loaded.
    assert row.peak_bytes == loader.base_memory + weights
    assert row.start_seconds is not None and row.swap_seconds is None
    assert "scripted" in out and "2.0 [1.0, 4.0]" in out and "A100 80 GB" in out


def loader_weights() -> int:
    return demo_specs(demo_folder())[0].weights_bytes


async def test_what_is_in_a_cache_does_not_count(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stream(
        engine: ScriptedEngine, request: GenerationRequest
    ) -> AsyncGenerator[GenerationEvent, None]:
        count, prompt = request.sampling.max_new_tokens or 0, len(request.prompt or "Hello")
        yield Finished("length", Usage(prompt, count, 16 if prompt > 16 else 0, 0.1, 1.0))

    monkeypatch.setattr(ScriptedEngine, "stream", stream)
    code, out, _ = await measured(settings, scripted(), replace(ASKED, precisions=("fp16",)))
    short, long, _ = report_of(settings).rows[0].answers
    assert code == 1 and short.error is None and long.decode is None
    assert "16 tokens of an input were found in the cache" in (long.error or "")
    assert long.error is not None and long.error in out


async def test_inputs_are_plain_text_of_exact_length_and_never_the_same(settings: Settings) -> None:
    loader = scripted()
    await measured(settings, loader, replace(ASKED, precisions=("fp16",)))
    tokenizer = ChatTokenizer.load(demo_folder() / "demo-fp16")
    asked = [one for one in loader.requests if one.id == "speed"]
    assert len(asked) == (1 + 3) + (1 + 3) + 2 * (1 + 3)
    long = [one.prompt for one in asked if one.prompt is not None and len(one.prompt) == 40]
    assert len(set(long)) == len(long) == 4
    assert {len(one.prompt or ()) for one in asked} == {1, 40}
    for one in asked:
        assert isinstance(one.prompt, tuple) and all(map(tokenizer.token_bytes, one.prompt))
        sampling = one.sampling
        assert (sampling.temperature, sampling.repetition_penalty) == (0.0, 1.0)
        assert sampling.max_new_tokens in (8, 9) and not sampling.logit_bias
    assert loader.peak == 2


async def test_one_precision_after_the_other_each_swapped_in(settings: Settings) -> None:
    loader = scripted()
    code, _, err = await measured(settings, loader)
    assert code == 0, err
    report = report_of(settings)
    assert loader.loads == [f"demo-{precision}" for precision in PRECISIONS]
    assert report.complete and list(rows_of(report)) == list(PRECISIONS)
    for row in report.rows:
        first = row.precision == "fp16"
        assert (row.start_seconds is None, row.swap_seconds is None) == (not first, first)
        assert row.load_seconds is not None and row.error is None
    assert loader.closed and {plan.max_context for plan in loader.plans} == {256}


async def test_an_answer_that_ends_early_is_held_back_from_it(settings: Settings) -> None:
    loader = scripted(
        fp16=Script(answer=ends_unless_held_back), gptq_int8=Script(answer=lambda *_: "Done.")
    )
    asked = replace(ASKED, precisions=("fp16", "gptq-int8", "awq-int4"))
    code, out, _ = await measured(settings, loader, asked)
    rows = rows_of(report_of(settings))
    stops = ChatTokenizer.load(demo_folder() / "demo-fp16").stop_ids
    assert code == 1
    assert rows["fp16"].stops_held_back and not rows["awq-int4"].stops_held_back
    assert all(one.error is None and one.whole for one in rows["fp16"].answers)
    assert all("although" in (one.error or "") for one in rows["gptq-int8"].answers)
    held = [one for one in loader.requests if one.sampling.logit_bias]
    assert {one.sampling.logit_bias for one in held} == {tuple((i, -100.0) for i in stops)}
    assert "held back: fp16, gptq-int8" in out


async def test_what_fails_is_a_line_with_its_reason_and_the_others_go_on(
    settings: Settings,
) -> None:
    loader = scripted(
        gptq_int8=Script(load_error=CheckpointError("The weights are damaged.")),
        gptq_int4=Script(answer=without_room),
    )
    code, out, _ = await measured(settings, loader)
    report = report_of(settings)
    rows = rows_of(report)
    assert code == 1 and report.complete
    assert rows["gptq-int8"].error == "The weights are damaged." and not rows["gptq-int8"].answers
    assert [one.error for one in rows["gptq-int4"].answers] == [None, "There is no room.", None]
    assert all(one.decode for one in rows["awq-int4"].answers)
    assert "The weights are damaged." in out and "40 in, 9 out, 1 at once: There is no room." in out
    table = (settings.data_dir / "measurements" / f"{NAME}.csv").read_text(encoding="utf-8")
    lines = csv.DictReader(io.StringIO(table))
    assert [line["error"] for line in lines if line["checkpoint"] == "demo-gptq-int8"] == [
        "The weights are damaged."
    ]


async def test_a_worker_that_dies_costs_its_precision(settings: Settings) -> None:
    loader = scripted(gptq_int8=Script(answer=endless, die_at=8))
    code, _, _ = await measured(settings, loader, replace(ASKED, inputs=(1,)))
    rows = rows_of(report_of(settings))
    assert code == 1 and "ended unexpectedly" in (rows["gptq-int8"].error or "")
    assert rows["gptq-int8"].kernel == "scripted", "what was measured before stands"
    for name in ("fp16", "gptq-int4", "awq-int4"):
        assert rows[name].error is None and len(rows[name].answers) == 2


async def test_stopped_it_keeps_what_is_done(settings: Settings) -> None:
    loader = scripted(gptq_int4=Script(load_delay=1_000))
    running = asyncio.create_task(measured(settings, loader))
    await soon(lambda: "demo-gptq-int4" in loader.loads, seconds=60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    stopped = report_of(settings)
    assert not stopped.complete and list(rows_of(stopped)) == ["fp16", "gptq-int8"]
    assert all(len(row.answers) == 3 for row in stopped.rows)
    # The next run takes its place, and nothing half written is left.
    code, _, _ = await measured(settings, scripted(), replace(ASKED, precisions=("awq-int4",)))
    assert code == 0 and list(rows_of(report_of(settings))) == ["awq-int4"]
    names = {path.name for path in (settings.data_dir / "measurements").iterdir()}
    assert names == {f"{NAME}{suffix}" for suffix in (".json", ".csv", ".md")}


async def test_lengths_are_clipped_to_the_checkpoint_and_it_is_said(settings: Settings) -> None:
    asked = replace(
        ASKED, precisions=("fp16",), inputs=(6_144, 1), outputs=2_048, repeat=1, concurrency=(1,)
    )
    loader = scripted()
    code, out, err = await measured(settings, loader, asked)
    report = report_of(settings)
    assert code == 0 and lengths_of(report.rows[0]) == [(1, 2_047, 1), (1_024, 1_024, 1)]
    assert len(report.clipped) == 2 and all(note in out and note in err for note in report.clipped)
    assert loader.plans[0].max_context == 2_048


def test_defaults_of_a_cpu_are_shorter_and_flags_are_obeyed() -> None:
    usual = BenchQuestion(None)
    inputs, output, notes = usual.lengths("cpu")
    assert max(inputs) + output < 2_048 and len(notes) == 2
    assert all("On a CPU" in note for note in notes)
    assert usual.lengths("cuda") == ((1, 6_144, 14_336, 30_720), 2_048, ())
    given = replace(usual, inputs=(7_000,), outputs=5_000)
    assert given.lengths("cpu") == ((7_000,), 5_000, ())


async def test_a_folder_for_the_files_and_one_json_object(
    settings: Settings, tmp_path: Path
) -> None:
    asked = replace(
        ASKED, precisions=("fp16",), also=(str(demo_folder() / "demo-awq-int4"),),
        out=tmp_path / "out", as_json=True,
    )  # fmt: skip
    code, out, _ = await measured(settings, scripted(), asked)
    assert code == 0 and json.loads(out)["others"]
    report = load_report(tmp_path / "out" / f"{NAME}.json")
    assert [row.precision for row in report.rows] == ["fp16", "awq-int4"]
    assert "--inputs 1,40 --outputs 9 --repeat 3 --concurrency 1,2" in report.conditions.command
    assert report.conditions.hardware and report.conditions.versions["torch"]


@pytest.mark.parametrize(
    ("model", "change", "says"),
    [
        (None, {"inputs": (0,)}, "--inputs has 0; expected is 1 to"),
        (None, {"outputs": 0}, "--outputs has 0"),
        (None, {"repeat": 0}, "--repeat has 0"),
        (None, {"concurrency": (1, 65)}, "--concurrency has 65"),
        ("demo-xyz", {}, "demo-xyz"),
        ("Qwen/Qwen2.5-7B", {"precisions": ("awq-int4",)}, "--also"),
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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--inputs", "1,many"], "'1,many' is no list of whole numbers"),
        (["--concurrency", ""], "is no list of whole numbers"),
        (["--precisions", "fp16,int3"], "'int3' is no precision; there are fp16, gptq-int8"),
    ],
)
def test_flags_that_cannot_be_read_are_told(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *words])
    assert ended.value.code == 2 and says in capsys.readouterr().err


@pytest.mark.slow
def test_for_real_on_the_embedded_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--precisions", "fp16,gptq-int4", "--inputs", "1,300", "--outputs", "24"]
    words += ["--repeat", "2", "--concurrency", "1,3", "--data-dir", str(tmp_path)]
    assert cli.main(["bench", "--device", "cpu", *words]) == 0, capsys.readouterr().err
    report = load_report(tmp_path / "measurements" / f"{NAME}.json")
    fp16, int4 = report.rows
    assert report.complete and report.copy_rate is not None and report.copy_rate > 1e8
    assert fp16.kernel != int4.kernel and fp16.weights_bytes and int4.weights_bytes
    assert int4.weights_bytes < fp16.weights_bytes
    for row in report.rows:
        assert lengths_of(row) == [(1, 24, 1), (300, 24, 1), (1, 24, 3)]
        # Its context is the longest that is asked for; the cache has room for at least one.
        assert row.context == 324 and row.kv_bytes_per_token == 9_216
        assert row.cache_bytes is not None and row.cache_bytes >= 324 * 9_216
        assert row.peak_bytes is not None and row.peak_bytes > row.weights_bytes  # type: ignore[operator]
        short, long, _ = row.answers
        for one in row.answers:
            assert one.whole is not None and one.decode is not None and one.together is not None
            assert 0 < one.whole.low <= one.whole.median <= one.decode.high
        assert short.first_token is not None and long.first_token is not None
        assert short.first_token.low < long.first_token.high
        assert short.share is not None and short.limit is not None and short.share > 0
    assert fp16.start_seconds and int4.swap_seconds and "torch" in capsys.readouterr().out
