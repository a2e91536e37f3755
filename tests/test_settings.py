"""Flags, environment variables and the sentences for wrong ones."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from qwen_webui.errors import SettingsError
from qwen_webui.settings import Settings, add_flags, flag, prepare_data_dir, read_settings


def parsed(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return read_settings(vars(parser.parse_args(words)))


def test_defaults() -> None:
    settings = parsed()
    assert (settings.host, settings.port, settings.model, settings.quantize) == (
        "127.0.0.1",
        7860,
        None,
        None,
    )


def test_the_guides_own_start_command() -> None:
    words = (
        "--model_name_or_path Qwen/Qwen2.5-7B --quantize gptq-int4 --device cuda --port 7860 "
        "--trust_remote_code"
    )
    settings = parsed(*words.split())
    assert settings.model == "Qwen/Qwen2.5-7B"
    assert settings.quantize == "gptq-int4"
    assert settings.device == "cuda"
    assert settings.trust_remote_code is True


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_field_is_a_variable_and_two_flags(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "quantize": "awq-int4",
        "device": "cpu",
        "dtype": "float32",
        "hub": "modelscope",
        "log_level": "debug",
        "max_running": "5",
    }
    kind = Settings.model_fields[name].annotation
    text = values.get(name) or {bool: "true", int: "300", float: "7.5"}.get(kind, "300")  # type: ignore[arg-type]
    monkeypatch.setenv(f"QWEN_WEBUI_{name.upper()}", text)
    from_environment = getattr(parsed(), name)
    assert str(from_environment).lower() == text
    monkeypatch.delenv(f"QWEN_WEBUI_{name.upper()}")
    for spelling in (flag(name), "--" + name):
        words = [spelling] if text == "true" else [spelling, text]
        assert getattr(parsed(*words), name) == from_environment


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN_WEBUI_PORT", "8000")
    assert parsed("--port", "9000").port == 9000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--port", "70000"), ("--port", "'70000'", "65535")),
        (("--quantize", "int3"), ("--quantize", "'int3'", "gptq-int8, gptq-int4, awq-int4")),
        (("--max-context", "many"), ("--max-context", "'many'")),
        (("--queue-timeout", "inf"), ("--queue-timeout", "'inf'", "finite")),
        (("--drain-seconds", "nan"), ("--drain-seconds", "'nan'", "finite")),
    ],
)
def test_a_wrong_value_is_a_sentence(words: tuple[str, ...], says: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(*words)
    for part in says:
        assert part in error.value.message


def test_the_data_folder_is_private(tmp_path: Path) -> None:
    folder = prepare_data_dir(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in folder.iterdir()) == ["logs", "models", "uploads"]
    assert all(p.stat().st_mode & 0o777 == 0o700 for p in folder.iterdir())


def test_a_data_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="cannot be used"):
        prepare_data_dir(tmp_path / "file")
