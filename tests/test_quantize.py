"""`qwen-webui quantize`: what it refuses, and that what it writes is complete and usable."""

import json
import os
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen_webui.errors import CheckpointError, InvalidRequest, SettingsError, WebUIError
from qwen_webui.quantize import QuantizeRequest, quantize
from qwen_webui.quantize.request import TARGETS

# The libraries that quantise warn about themselves; our own warnings are still errors elsewhere.
quantising = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]


def header(file: Path) -> dict[str, dict[str, object]]:
    """Tensor name to dtype and shape, read from the safetensors file itself."""
    with file.open("rb") as data:
        (length,) = struct.unpack("<Q", data.read(8))
        value: dict[str, dict[str, object]] = json.loads(data.read(length))
    value.pop("__metadata__", None)
    return value


@pytest.fixture
def paragraphs(tmp_path: Path) -> Path:
    file = tmp_path / "calibration.txt"
    lines = [f"Crate {n} holds {n * 3} brass lamps for the harbour office.\n" for n in range(40)]
    file.write_text(
        "\n".join(lines) + "\n第三码头有一艘船，船长姓林，明天早上出发。\n", encoding="utf-8"
    )
    return file


@pytest.mark.parametrize("to", [pytest.param(to, marks=quantising) for to in TARGETS])
def test_the_written_folder_is_the_source_in_fewer_bits(
    to: str, demo_folder: Path, paragraphs: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    out = tmp_path / "made"
    request = QuantizeRequest(demo_folder, to, out, paragraphs, samples=8)  # type: ignore[arg-type]
    assert quantize(request, told.append) == out

    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    how = config.pop("quantization_config")
    source = json.loads((demo_folder / "config.json").read_text(encoding="utf-8"))
    assert config == source and config["tie_word_embeddings"] is True
    assert (how["bits"], how["group_size"]) == (8 if to.endswith("8") else 4, 128)
    assert how["quant_method"] == to.split("-")[0]
    if to == "awq-int4":
        assert how["version"] == "gemm" and how["zero_point"] is True
    else:
        assert how["checkpoint_format"] == "gptq"
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (out / name).read_bytes() == (demo_folder / name).read_bytes()

    tensors = header(out / "model.safetensors")
    assert "lm_head.weight" not in tensors
    assert {part["dtype"] for part in tensors.values()} == {"F16", "I32"}
    layers = config["num_hidden_layers"]
    assert sum(name.endswith(".qweight") for name in tensors) == 7 * layers

    steps = [line for line in told if re.fullmatch(r"Layer \d+ of \d+ quantised", line)]
    assert steps == [f"Layer {n} of {layers} quantised" for n in range(1, layers + 1)]
    agreement = re.search(r"at (\d+) of (\d+) places", told[-1])
    assert agreement and int(agreement[1]) / int(agreement[2]) > 0.5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    everything = "".join(path.read_text("utf-8") for path in out.glob("*config.json"))
    assert str(tmp_path) not in everything and "/tmp" not in everything


def broken_config(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture
def copy(demo_folder: Path, tmp_path: Path) -> Path:
    """The checkpoint with small files copied and large ones linked."""
    folder = tmp_path / "source"
    folder.mkdir()
    for path in demo_folder.iterdir():
        if path.suffix == ".json":
            (folder / path.name).write_bytes(path.read_bytes())
        else:
            os.symlink(path, folder / path.name)
    return folder


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"architectures": ["LlamaForCausalLM"]}, "only Qwen2ForCausalLM"),
    ({"quantization_config": {"quant_method": "awq"}}, r"quantised already \(awq\)"),
    ({"hidden_size": 96}, "hidden_size is 96, which --group-size 128 does not divide"),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_a_source_that_cannot_be_quantised_is_refused(
    copy: Path, tmp_path: Path, values: dict[str, object], sentence: str
) -> None:
    broken_config(copy, lambda config: config.update(values))
    with pytest.raises(CheckpointError, match=sentence):
        quantize(QuantizeRequest(copy, "gptq-int4", tmp_path / "out"), print)
    assert not (tmp_path / "out").exists()


def test_bad_settings_are_refused(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SettingsError, match="--group-size is 100"):
        quantize(QuantizeRequest(copy, "gptq-int4", out, group_size=100), print)
    with pytest.raises(SettingsError, match="--samples is 0"):
        quantize(QuantizeRequest(copy, "gptq-int4", out, samples=0), print)
    with pytest.raises(SettingsError, match="--to is 'int3'"):
        quantize(QuantizeRequest(copy, "int3", out), print)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="exists already"):
        quantize(QuantizeRequest(copy, "gptq-int4", copy), print)


def test_without_the_extra_it_says_what_to_install(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gptqmodel", None)
    with pytest.raises(SettingsError, match=r"pip install 'qwen-webui\[quantize\]'"):
        quantize(QuantizeRequest(copy, "gptq-int4", tmp_path / "out"), print)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_weights_or_config_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="pickled weights are not read"):
        quantize(QuantizeRequest(copy, "gptq-int4", tmp_path / "out"), print)
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        quantize(QuantizeRequest(tmp_path / "nowhere", "gptq-int4", tmp_path / "out"), print)


CALIBRATION: list[tuple[str, bytes | None, str]] = [
    ("short.txt", b"one\n\ntwo\n", "no sample of at least 10 tokens"),
    ("latin.txt", b"caf\xe9 " * 30, "is not UTF-8"),
    ("bad.jsonl", b'{"messages": 3}\n', "Line 1 of"),
    ("none.txt", None, "cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), CALIBRATION)
def test_useless_calibration_text_is_refused(
    copy: Path, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    request = QuantizeRequest(copy, "gptq-int4", tmp_path / "out", file)
    with pytest.raises((InvalidRequest, CheckpointError), match=sentence):
        quantize(request, print)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damaged_weights_leave_nothing_behind(copy: Path, paragraphs: Path, tmp_path: Path) -> None:
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    out = tmp_path / "out"
    with pytest.raises(WebUIError, match="could not quantise"):
        quantize(QuantizeRequest(copy, "gptq-int4", out, paragraphs), print)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "calibration.txt"}
