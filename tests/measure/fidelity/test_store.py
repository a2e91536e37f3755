"""Predictions on the disk: kept whole, or computed again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwen_webui.errors import CheckpointError, StoreError
from qwen_webui.measure.fidelity import fingerprint as fingerprints
from qwen_webui.measure.fidelity.fingerprint import fingerprint
from qwen_webui.measure.fidelity.store import ReferenceStore, key_of
from qwen_webui.types import Distributions

SOME = Distributions(2, 3, b"i" * 24, b"l" * 24, b"t" * 8, b"f" * 8, b"a" * 8)
KEY = key_of({"checkpoint": "one"}, (1, 2, 3))


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path / "fidelity")
    assert store.get(KEY) is None
    store.put(KEY, SOME)
    assert store.get(KEY) == SOME
    assert [path.name for path in (tmp_path / "fidelity").iterdir()] == [f"{KEY}.bin"]


@pytest.mark.parametrize("place", [0, 10, 41, 60, -1])
def test_a_damaged_file_counts_as_none(tmp_path: Path, place: int) -> None:
    store, path = ReferenceStore(tmp_path), tmp_path / f"{KEY}.bin"
    store.put(KEY, SOME)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert store.get(KEY) is None
    for cut in (0, 7, 30, len(data) - 1):
        path.write_bytes(bytes(data)[:cut])
        assert store.get(KEY) is None
    store.put(KEY, SOME)
    assert store.get(KEY) == SOME


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path)
    store.put("a", SOME)
    size = (tmp_path / "a.bin").stat().st_size
    store.put("b", SOME)
    for name, seconds in (("a.bin", 1_000), ("b.bin", 2_000)):
        os.utime(tmp_path / name, (seconds, seconds))
    assert store.get("a") == SOME, "it is used now"
    ReferenceStore(tmp_path, most=2 * size).put("c", SOME)
    assert {path.name for path in tmp_path.iterdir()} == {"a.bin", "c.bin"}
    ReferenceStore(tmp_path, most=1).put("d", SOME)
    assert {path.name for path in tmp_path.iterdir()} == {"d.bin"}, "the newest always stays"


def test_no_room_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--data-dir"):
        ReferenceStore(tmp_path / "file").put(KEY, SOME)


def test_a_key_tells_apart_all_that_matters() -> None:
    parts = {"checkpoint": "one", "dtype": "float32", "engine path": "ours"}
    keys = {key_of({**parts, name: "other"}, (1, 2)) for name in parts}
    keys |= {key_of(parts, (1, 2)), key_of(parts, (12,)), key_of(parts, (2, 1))}
    assert len(keys) == 6


def test_a_fingerprint_sees_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(500_000))
    first = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == first
    weights.write_bytes(bytes(499_999) + b"1")
    assert fingerprint(tmp_path) != first
    monkeypatch.setattr(fingerprints, "WHOLE", 1_000)
    monkeypatch.setattr(fingerprints, "SLICE", 100)
    large = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == large
    os.utime(weights, (1, 1))
    assert fingerprint(tmp_path) != large
    with pytest.raises(CheckpointError):
        fingerprint(tmp_path / "none")
