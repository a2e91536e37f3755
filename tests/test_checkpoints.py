"""What a name or a folder means, and what is refused before any load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwen_webui.checkpoints import (
    Library,
    catalogue,
    choose,
    describe_folder,
    licence_notice,
    verify_folder,
)
from qwen_webui.errors import CheckpointError, CheckpointMissing, NotFound
from qwen_webui.types import PRECISIONS, CheckpointSpec, Precision
from tests.folders import checkpoint_files, safetensors, write_checkpoint

KINDS = [*PRECISIONS]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """Embedded checkpoints in four precisions."""
    for precision in PRECISIONS:
        write_checkpoint(tmp_path / "demo" / f"demo-{precision}", checkpoint_files(precision))
    return tmp_path / "demo"


@pytest.fixture
def known(demo: Path) -> tuple[CheckpointSpec, ...]:
    return catalogue(demo)


@pytest.fixture
def library(tmp_path: Path, demo: Path) -> Library:
    return Library(tmp_path / "models", hub="huggingface", endpoint=None, offline=True, demo=demo)


def test_catalogue_has_every_size_and_precision(known: tuple[CheckpointSpec, ...]) -> None:
    names = [spec.name for spec in known]
    assert names[:4] == ["demo-fp16", "demo-gptq-int8", "demo-gptq-int4", "demo-awq-int4"]
    assert len(names) == len(set(names)) == 4 + 7 * 4
    assert "qwen2.5-0.5b-instruct" in names
    assert "qwen2.5-72b-instruct-awq-int4" in names
    for spec in known[4:]:
        assert spec.hub_id is not None and spec.hub_id.startswith("Qwen/Qwen2.5-")
        assert spec.shape.context_length == 32_768
    licences = {s.licence for s in known if s.size not in ("3B", "72B")}
    assert licences == {"Apache-2.0"}


def test_sixteen_bit_bytes_are_those_of_the_architecture(
    known: tuple[CheckpointSpec, ...],
) -> None:
    """Against transformers' own module tree, on the meta device."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    for name in ("qwen2.5-0.5b-instruct", "qwen2.5-7b-instruct"):
        spec = next(s for s in known if s.name == name)
        shape = spec.shape
        config = Qwen2Config(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            tie_word_embeddings=shape.tied_embeddings,
        )
        with torch.device("meta"):
            model = Qwen2ForCausalLM(config)
        assert spec.weights_bytes == 2 * sum(p.numel() for p in model.parameters())


def test_fewer_bits_are_fewer_bytes(known: tuple[CheckpointSpec, ...]) -> None:
    for size in {spec.size for spec in known if spec.family == "qwen2.5"}:
        sizes = {s.precision: s.weights_bytes for s in known if s.size == size}
        assert sizes["awq-int4"] < sizes["gptq-int4"] < sizes["gptq-int8"] < sizes["fp16"]


def test_licences_other_than_apache_are_said(known: tuple[CheckpointSpec, ...]) -> None:
    for spec in known:
        notice = licence_notice(spec)
        assert (notice is not None) == (spec.size in ("3B", "72B")), spec.name
    choice = choose("qwen2.5-3b-instruct", None, known=known)
    assert "non-commercial" in choice.notes[0]
    assert "100 million" in choose("qwen2.5-72b-instruct", "awq-int4", known=known).notes[-1]


@pytest.mark.parametrize("precision", [None, *KINDS])
def test_nothing_said_is_the_demo_and_quantize_alone_is_7b(
    known: tuple[CheckpointSpec, ...], precision: Precision | None
) -> None:
    expected = {
        None: "demo-fp16",
        "fp16": "qwen2.5-7b-instruct",
        "gptq-int8": "qwen2.5-7b-instruct-gptq-int8",
        "gptq-int4": "qwen2.5-7b-instruct-gptq-int4",
        "awq-int4": "qwen2.5-7b-instruct-awq-int4",
    }
    choice = choose(None, precision, known=known)
    assert (choice.spec.name, choice.notes) == (expected[precision], ())


@pytest.mark.parametrize(
    ("model", "quantize", "name", "said"),
    [
        ("demo", None, "demo-fp16", ()),
        ("demo", "awq-int4", "demo-awq-int4", ()),
        ("demo-fp16", "gptq-int8", "demo-gptq-int8", ("demo-gptq-int8",)),
        ("Qwen2.5-1.5B-Instruct", None, "qwen2.5-1.5b-instruct", ()),
        ("qwen2.5-7b-instruct-awq-int4", "awq-int4", "qwen2.5-7b-instruct-awq-int4", ()),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", None, "qwen2.5-7b-instruct-awq-int4", ()),
        (
            "Qwen/Qwen2.5-14B-Instruct",
            "gptq-int8",
            "qwen2.5-14b-instruct-gptq-int8",
            ("Qwen/Qwen2.5-14B-Instruct-GPTQ-Int8",),
        ),
        (
            "Qwen/Qwen2.5-7B",
            "gptq-int4",
            "qwen2.5-7b-instruct-gptq-int4",
            ("Qwen/Qwen2.5-7B has no quantised files", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"),
        ),
        ("Qwen/Qwen2.5-7B", None, "Qwen/Qwen2.5-7B", ("base model",)),
        ("Qwen/Qwen2.5-0.5B", "fp16", "Qwen/Qwen2.5-0.5B", ("base model",)),
        ("someone/tuned", None, "someone/tuned", ("not in the catalogue",)),
        ("someone/tuned-GPTQ-Int8", "gptq-int8", "someone/tuned-GPTQ-Int8", ("not in the",)),
    ],
)
def test_names_and_hub_ids(
    known: tuple[CheckpointSpec, ...],
    model: str,
    quantize: Precision | None,
    name: str,
    said: tuple[str, ...],
) -> None:
    choice = choose(model, quantize, known=known)
    assert choice.spec.name == name
    assert choice.spec.precision == (quantize or choice.spec.precision)
    assert bool(choice.notes) == bool(said)
    for words in said:
        assert words in choice.notes[0]


@pytest.mark.parametrize(
    ("model", "quantize"),
    [
        ("qwen2.5-7b-instruct-awq-int4", "gptq-int4"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "gptq-int4"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "fp16"),
        ("demo-gptq-int8", "awq-int4"),
        ("someone/tuned", "gptq-int4"),
    ],
)
def test_contradictions_name_both(
    known: tuple[CheckpointSpec, ...], model: str, quantize: Precision
) -> None:
    with pytest.raises(CheckpointError) as refusal:
        choose(model, quantize, known=known)
    assert model in refusal.value.message
    assert quantize in refusal.value.message


@pytest.mark.parametrize("model", ["qwen2.5-7b-instrct", "llama", "Qwen/Qwen2.5-7B/x", "a b"])
def test_unknown_names(known: tuple[CheckpointSpec, ...], model: str) -> None:
    with pytest.raises(CheckpointMissing, match="no checkpoint called"):
        choose(model, None, known=known)


def test_near_names_are_offered(known: tuple[CheckpointSpec, ...]) -> None:
    with pytest.raises(CheckpointMissing, match=r"Did you mean qwen2\.5-7b-instruct"):
        choose("qwen2.5-7b-instrct", None, known=known)


def test_without_the_embedded_files_the_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match="embedded checkpoint demo-fp16"):
        choose(None, None, known=catalogue(tmp_path))


def test_a_damaged_embedded_checkpoint_leaves_the_others(tmp_path: Path) -> None:
    """reliability line 33: it is no reason for the program not to start."""
    for precision in ("fp16", "gptq-int4"):
        write_checkpoint(tmp_path / f"demo-{precision}", checkpoint_files(precision))
    (tmp_path / "demo-fp16" / "model.safetensors").write_bytes(b"torn")
    known = catalogue(tmp_path)
    assert [spec.name for spec in known if spec.family == "demo"] == ["demo-gptq-int4"]
    with pytest.raises(CheckpointMissing, match="demo-fp16 is missing here or damaged"):
        choose(None, None, known=known)


@pytest.mark.parametrize("precision", KINDS)
def test_a_folder_says_its_own_precision(
    tmp_path: Path, known: tuple[CheckpointSpec, ...], precision: Precision
) -> None:
    folder = write_checkpoint(tmp_path / "mine", checkpoint_files(precision, shards=3))
    for quantize in (None, precision):
        spec = choose(str(folder), quantize, known=known).spec
        assert (spec.name, spec.precision, spec.folder) == ("mine", precision, str(folder))
        assert (spec.weights_bytes, spec.family) == (3 * 4_096, "local")
        assert (spec.shape.layers, spec.shape.head_size) == (2, 64)
    other: Precision = "awq-int4" if precision != "awq-int4" else "gptq-int4"
    with pytest.raises(CheckpointError) as refusal:
        choose(str(folder), other, known=known)
    assert precision in refusal.value.message
    assert f"--quantize says {other}" in refusal.value.message


def test_a_folder_named_like_a_catalogue_entry_is_not_mistaken_for_it(
    tmp_path: Path, library: Library
) -> None:
    folder = write_checkpoint(tmp_path / "x" / "qwen2.5-7b-instruct")
    spec = choose(str(folder), None, known=library.all()).spec
    assert spec.folder == str(folder)
    assert library.add_folder(folder) == spec
    assert library.get(spec.name).folder == str(folder)
    assert library.get("qwen2.5-7b-instruct").folder is None
    assert library.add_folder(folder) == spec


def test_relative_folders(
    tmp_path: Path, known: tuple[CheckpointSpec, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    assert choose("owner/name", None, known=known).spec.family == "local"
    with pytest.raises(CheckpointMissing, match="no folder elsewhere"):
        choose("./elsewhere", None, known=known)


def test_old_layout_of_quantisation_is_read(tmp_path: Path) -> None:
    """autoawq once wrote w_bit; auto-gptq writes no checkpoint_format."""
    files = checkpoint_files()
    config = json.loads(files["config.json"])
    config["quantization_config"] = {"quant_method": "awq", "w_bit": 4, "q_group_size": 128}
    files["config.json"] = json.dumps(config).encode()
    assert describe_folder(write_checkpoint(tmp_path, files)).precision == "awq-int4"


BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"auto_map": {"AutoModelForCausalLM": "modeling.X"}}, "auto_map"),
    ({"quantization_config": {"auto_map": {}}}, "auto_map"),
    ({"_attn_implementation_internal": "evil/kernel"}, "_internal"),
    ({"rope_scaling": {"x_internal": 1}}, "rope_scaling.x_internal"),
    ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM.*Qwen2ForCausalLM"),
    ({"architectures": None}, "architecture is none"),
    ({"model_type": "qwen2_vl"}, "Qwen2ForCausalLM"),
    ({"num_hidden_layers": -1}, "num_hidden_layers"),
    ({"hidden_size": "128"}, "hidden_size"),
    ({"num_attention_heads": True}, "num_attention_heads"),
    ({"quantization_config": {"quant_method": "bitsandbytes", "bits": 4}}, "bitsandbytes"),
    ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "3 bits"),
    ({"quantization_config": "awq"}, "quantised as"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD_CONFIGS)
def test_configs_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    folder = write_checkpoint(tmp_path / "x", checkpoint_files(**change))
    for look in (describe_folder, verify_folder):
        with pytest.raises(CheckpointError, match=sentence) as refusal:
            look(folder)
        assert str(tmp_path) not in refusal.value.message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    folder = write_checkpoint(tmp_path / "x")
    (folder / name).unlink()
    for look in (describe_folder, verify_folder):
        with pytest.raises(CheckpointMissing, match=name.replace(".", r"\.")):
            look(folder)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match="no folder nothing"):
        verify_folder(tmp_path / "nothing")


@pytest.mark.parametrize("content", ["{", "[]", "null", "[" * 100_000])
def test_config_that_is_no_json_object(tmp_path: Path, content: str) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        verify_folder(folder)


def test_pickles_alone(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickle files \(pytorch_model\.bin\)"):
        verify_folder(folder)


def test_no_weights_at_all(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointMissing, match="no weights"):
        verify_folder(folder)


@pytest.mark.parametrize("kept", [0, 7, 8, 20, 1_000, -1])
def test_truncated_safetensors(tmp_path: Path, kept: int) -> None:
    folder = write_checkpoint(tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is cut off.*again"):
        verify_folder(folder)


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"a": 10}) + b"x",
        (4).to_bytes(8, "little") + b"{{{{",
        (2).to_bytes(8, "little") + b"[]",
        (9).to_bytes(8, "little") + b'{"a": {}}',
        (30).to_bytes(8, "little") + b'{"a": {"data_offsets": [0]}}  ',
        (2**63).to_bytes(8, "little") + b"{}",
    ],
)
def test_damaged_safetensors(tmp_path: Path, content: bytes) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        verify_folder(folder)


def test_index_naming_missing_shards(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, checkpoint_files(shards=3))
    verify_folder(folder)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointMissing, match=r"1 of 3 .*model-00002-of-00003\.safetensors"):
        verify_folder(folder)


def test_shards_without_an_index(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, checkpoint_files(shards=2))
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointMissing, match="no model"):
        verify_folder(folder)


@pytest.mark.parametrize(
    "index", ["{", "{}", '{"weight_map": []}', '{"weight_map": {"a": "../../x.safetensors"}}']
)
def test_index_of_no_use(tmp_path: Path, index: str) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        verify_folder(folder)


def test_library_knows_names_hub_ids_and_folders(tmp_path: Path, library: Library) -> None:
    assert library.get("demo-fp16").folder is not None
    assert library.get("QWEN/qwen2.5-7b-instruct-awq").name == "qwen2.5-7b-instruct-awq-int4"
    spec = library.add_folder(write_checkpoint(tmp_path / "mine"))
    assert library.get("mine") == spec
    assert library.all()[-1] == spec
    assert library.get("someone/else").hub_id == "someone/else"
    with pytest.raises(NotFound, match="Did you mean demo-fp16"):
        library.get("demo-fp61")
    with pytest.raises(CheckpointError):
        library.add_folder(tmp_path)


async def test_local_files_are_checked_at_every_fetch(tmp_path: Path, library: Library) -> None:
    folder = write_checkpoint(tmp_path / "mine")
    spec = library.add_folder(folder)
    assert await library.fetch(spec, print) == folder
    demo = library.get("demo-awq-int4")
    assert await library.fetch(demo, print) == Path(demo.folder or "")
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cut off"):
        await library.fetch(spec, print)
