"""The forecast against the published rows, and what this machine has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from qwen_webui import memory
from qwen_webui.checkpoints import catalogue
from qwen_webui.errors import DeviceUnusable, SettingsError
from qwen_webui.memory import (
    GIB,
    default_context,
    forecast,
    kv_bytes,
    machine_memory,
)
from qwen_webui.types import CheckpointSpec, Precision

SPECS = {spec.name: spec for spec in catalogue(Path("/nowhere"))}
# Peaks on one H200 by `benchmarks/memory.py --device cuda`, MiB: 7B shapes, our path, a prompt that
# fills the context, then eight at once; most is taken while the weights are read.
ON_A_CARD: dict[tuple[Precision, int], int] = {
    ("fp16", 8_192): 17_134,
    ("gptq-int8", 8_192): 10_740,
    ("gptq-int4", 8_192): 7_658,
    ("gptq-int4", 131_072): 14_621,
    ("awq-int4", 8_192): 7_768,
}


def seven(precision: Precision) -> CheckpointSpec:
    return SPECS["qwen2.5-7b-instruct" + ("" if precision == "fp16" else f"-{precision}")]


def test_kv_cache_of_7b_is_57344_bytes_a_token() -> None:
    shape = seven("fp16").shape
    assert kv_bytes(shape, 1) == 57_344
    assert kv_bytes(shape, 8_192) == 57_344 * 8_192
    assert kv_bytes(shape, 10, element_bytes=4) == 57_344 * 20


@pytest.mark.parametrize(("precision", "context"), ON_A_CARD)
def test_forecast_is_within_three_percent_of_a_cards_peaks(
    precision: Precision, context: int
) -> None:
    need = forecast(seven(precision), context=context, device="cuda", free=0, total=0)
    assert need.needed / memory.MIB == pytest.approx(ON_A_CARD[precision, context], rel=0.03)


def test_parts_add_up_and_fit_means_needed_is_free() -> None:
    need = forecast(seven("fp16"), context=8_192, device="cuda", free=0, total=24 * GIB)
    assert need.weights == seven("fp16").weights_bytes
    assert need.needed == need.weights + need.kv_cache + need.activations + need.overhead
    assert not need.fits
    assert replace(need, free=need.needed).fits
    assert not replace(need, free=need.needed - 1).fits


def test_weights_on_disk_replace_the_computed_ones() -> None:
    here = replace(seven("awq-int4"), weights_bytes=5_000_000_000)
    assert forecast(here, context=1, device="cuda", free=0, total=0).weights == 5_000_000_000


def test_a_cpu_computes_small_models_in_32_bits_and_large_ones_in_16() -> None:
    small = SPECS["qwen2.5-0.5b-instruct"]
    for spec, width in ((small, 2), (seven("fp16"), 1)):
        on_card = forecast(spec, context=8_192, device="cuda", free=0, total=0)
        on_cpu = forecast(spec, context=8_192, device="cpu", free=0, total=0)
        assert on_cpu.weights == width * on_card.weights
        assert on_cpu.kv_cache == width * on_card.kv_cache


# Peaks of resident memory by benchmarks/memory.py on a machine of two cores, MiB: 0.5B shapes with
# a prompt of 8,192 tokens, libraries included.
PEAKS: dict[Precision, int] = {
    "fp16": 2448, "gptq-int8": 1428, "gptq-int4": 1264, "awq-int4": 1257,
}  # fmt: skip


@pytest.mark.parametrize("precision", PEAKS)
def test_forecast_covers_the_measured_peaks_of_a_cpu(precision: Precision) -> None:
    suffix = "" if precision == "fp16" else f"-{precision}"
    spec = SPECS[f"qwen2.5-0.5b-instruct{suffix}"]
    need = forecast(spec, context=8_192, device="cpu", free=0, total=0)
    assert 0 <= need.needed / memory.MIB - PEAKS[precision] < 700


def test_default_context_is_the_smaller_of_8192_and_what_fits() -> None:
    spec = seven("fp16")

    def at(free: float) -> int:
        room = round(free * GIB)
        return default_context(spec, free=room, total=room, device="cuda", wanted=None)

    assert at(80) == 8_192
    tight = at(16)
    assert 256 < tight < 8_192 and tight % 256 == 0
    need = forecast(spec, context=tight, device="cuda", free=16 * GIB, total=0)
    more = forecast(spec, context=tight + 256, device="cuda", free=16 * GIB, total=0)
    assert need.fits and not more.fits
    assert at(8) == 256  # does not fit at all: the forecast then says by how much


def test_default_context_of_a_small_model_is_its_own() -> None:
    shape = replace(seven("fp16").shape, context_length=2_048)
    spec = replace(seven("fp16"), family="demo", shape=shape)
    room = 80 * GIB
    assert default_context(spec, free=room, total=room, device="cuda", wanted=None) == 2_048
    assert default_context(spec, free=room, total=room, device="cuda", wanted=1_024) == 1_024
    with pytest.raises(SettingsError, match="4,096"):
        default_context(spec, free=room, total=room, device="cuda", wanted=4_096)


def test_wanted_context_reaches_to_yarn_and_no_further() -> None:
    for wanted in (300, 32_768, 32_769, 131_072):
        spec = seven("awq-int4")
        assert default_context(spec, free=0, total=0, device="cuda", wanted=wanted) == wanted
    with pytest.raises(SettingsError, match=r"131,073.*at most 131,072") as refusal:
        default_context(seven("awq-int4"), free=0, total=0, device="cuda", wanted=131_073)
    assert refusal.value.param == "max_context"


class Driver:
    """NVML with the cards that a test names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cards: list[str], *, readable: bool = True):
        def info(index: int) -> SimpleNamespace:
            if not readable:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return SimpleNamespace(free=(index + 1) * GIB, total=24 * GIB)

        def nothing() -> None:
            return None

        monkeypatch.setattr(pynvml, "nvmlInit", nothing)
        monkeypatch.setattr(pynvml, "nvmlShutdown", nothing)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(cards))
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda index: cards[index])
        monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda index: f"GPU-{index}abc")
        monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", info)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_first_card_is_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, ["NVIDIA A", "NVIDIA B"])
    for device in ("auto", "cuda"):
        use = machine_memory(device)
        assert (use.device, use.device_name, use.free) == ("cuda", "NVIDIA A", GIB)
        assert (use.total, use.used_by_engine) == (24 * GIB, 0)
    assert machine_memory("cpu").device == "cpu"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("1", "NVIDIA B"), ("1,0", "NVIDIA B"), ("GPU-1a", "NVIDIA B"), ("", None), ("7", None)],
)
def test_visible_devices_are_respected(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: str | None
) -> None:
    Driver(monkeypatch, ["NVIDIA A", "NVIDIA B"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    use = machine_memory("auto")
    assert use.device_name == (expected or "CPU")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_card_whose_memory_cannot_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    Driver(monkeypatch, ["NVIDIA Odd"], readable=False)
    with pytest.raises(DeviceUnusable, match=r"NVIDIA Odd.*cannot be read.*--device cpu"):
        machine_memory(device)  # type: ignore[arg-type]
    assert machine_memory("cpu").device == "cpu"


def test_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    use = machine_memory("auto")
    assert use.device == "cpu"
    assert 0 < use.free <= use.total <= psutil.virtual_memory().total
    with pytest.raises(DeviceUnusable, match="--device cuda"):
        machine_memory("cuda")


@pytest.mark.parametrize(
    ("limit", "expected"), [("max\n", (0, 0)), ("1000\n", (1000, 300)), (None, (0, 0))]
)
def test_a_containers_limit_counts(
    tmp_path: Path, limit: str | None, expected: tuple[int, int]
) -> None:
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("400\n")
        (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100\nactive_file 7\n")
    assert memory._container_memory(tmp_path) == expected
