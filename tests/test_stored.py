"""What is stored, and that deleting it deletes that and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from qwen_webui import cli
from qwen_webui.settings import prepare_data_dir
from qwen_webui.stored import list_stored


def filled(folder: Path) -> Path:
    prepare_data_dir(folder)
    (folder / "conversations.sqlite3").write_bytes(b"x" * 2**20)
    (folder / "conversations.sqlite3.before-2").write_bytes(b"x")
    (folder / "models" / "one").mkdir()
    (folder / "models" / "one" / "weights").write_bytes(b"x" * 10)
    (folder / "uploads" / "one").mkdir()
    (folder / "uploads" / "one" / "original").write_bytes(b"x" * 7)
    return folder


def test_everything_of_ours_is_listed_with_its_size(tmp_path: Path) -> None:
    sizes = {part.name: part.bytes for part in list_stored(filled(tmp_path))}
    assert sizes == {
        "conversations.sqlite3": 2**20,
        "conversations.sqlite3.before-2": 1,
        "logs": 0,
        "models": 10,
        "uploads": 7,
    }


def test_delete_all_deletes_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = filled(tmp_path / "data")
    assert cli.main(["delete-all", "--yes", "--data-dir", str(folder)]) == 0
    assert not folder.exists()
    assert "conversations" in capsys.readouterr().out


def test_delete_all_keeps_what_is_not_ours(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data")
    (folder / "thesis.docx").write_text("mine")
    assert cli.main(["delete-all", "--yes", "--data-dir", str(folder)]) == 0
    assert [p.name for p in folder.iterdir()] == ["thesis.docx"]


def test_delete_all_asks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(tmp_path / "data")
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert cli.main(["delete-all", "--data-dir", str(folder)]) == 1
    assert (folder / "conversations.sqlite3").exists()


def test_without_anyone_to_ask_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli.main(["delete-all", "--data-dir", str(tmp_path)]) == 1
    assert list_stored(tmp_path)


def test_nothing_stored_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["delete-all", "--data-dir", str(tmp_path / "none")]) == 0
    assert "Nothing is stored" in capsys.readouterr().out
