"""Flags, environment variables and the sentences for wrong ones."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from pydantic import SecretStr

from qwen_webui.errors import SettingsError
from qwen_webui.memory import GIB
from qwen_webui.setting_kinds import amount_bytes
from qwen_webui.settings import Settings, add_flags, flag, prepare_data_dir, read_settings


def parsed(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return read_settings(vars(parser.parse_args(words)))


def plain(value: object) -> str:
    """A value as it would be written in a variable."""
    if isinstance(value, tuple):
        return ",".join(map(plain, value))
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value).lower()


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
        "engine_path": "ours",
        "host_cache": "50%",
        "hub": "modelscope",
        "log_level": "debug",
        "max_running": "5",
        "api_key": "key-number-1",
        "admin_key": "key-number-2",
        "engine_key": "key-number-3",
        "engine_url": "http://127.0.0.1:8000/v1",
        "allowed_host": "example.org",
        "cors_origin": "https://example.org",
    }
    kind = Settings.model_fields[name].annotation
    text = values.get(name) or {bool: "true", int: "300", float: "7.5"}.get(kind, "300")  # type: ignore[arg-type]
    monkeypatch.setenv(f"QWEN_WEBUI_{name.upper()}", text)
    from_environment = getattr(parsed(), name)
    assert plain(from_environment) == text
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
        (("--host-cache", "120%"), ("--host-cache", "'120%'", "25%", "8GiB")),
        (("--host-cache", "much"), ("--host-cache", "'much'", "25%", "8GiB")),
        (("--queue-timeout", "inf"), ("--queue-timeout", "'inf'", "finite")),
        (("--allowed-host", "http://a.org"), ("--allowed-host", "'http://a.org'", "example.org")),
        (("--allowed-host", "*"), ("--allowed-host", "example.org")),
        (("--cors-origin", "https://a.org/b"), ("--cors-origin", "https://example.org")),
        (("--engine-url", "http://user:secret@a.org"), ("--engine-url", "127.0.0.1:8000")),
        (("--drain-seconds", "nan"), ("--drain-seconds", "'nan'", "finite")),
    ],
)
def test_a_wrong_value_is_a_sentence(words: tuple[str, ...], says: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(*words)
    for part in says:
        assert part in error.value.message


@pytest.mark.parametrize(
    ("amount", "means"),
    [
        ("25%", 2 * GIB),
        ("0", 0),
        ("3", 3 * GIB),
        ("1.5 GiB", 3 * GIB // 2),
        ("512mb", GIB // 2),
    ],
)
def test_an_amount_of_memory(amount: str, means: int) -> None:
    assert amount_bytes(parsed("--host-cache", amount).host_cache, available=8 * GIB) == means


def test_several_keys_from_flags_and_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN_WEBUI_API_KEY", "from-variable-1, from-variable-2")
    assert plain(parsed().api_key) == "from-variable-1,from-variable-2"
    words = ("--api-key", "from-a-flag-1", "--api_key", "from-a-flag-2,from-a-flag-3")
    assert plain(parsed(*words).api_key) == "from-a-flag-1,from-a-flag-2,from-a-flag-3"


@pytest.mark.parametrize("name", ["--api-key", "--admin-key", "--engine-key"])
@pytest.mark.parametrize("key", ["", "with a space", "schlüssel-mit-ü", "line\nbreak-in-it"])
def test_a_wrong_key_is_a_sentence_without_the_key(name: str, key: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} .* printable ASCII") as error:
        parsed(name, key)
    assert not key or key not in error.value.message
    assert not key or key not in f"{error.value.__cause__}"


@pytest.mark.parametrize("name", ["--api-key", "--admin-key"])
def test_a_key_that_can_be_guessed_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="at least 8"):
        parsed(name, "1234567")


def test_no_key_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ENGINE_KEY"):
        monkeypatch.setenv(f"QWEN_WEBUI_{name}", "very-secret")
    parser = argparse.ArgumentParser()
    add_flags(parser)
    settings = read_settings({})
    assert "very-secret" not in f"{parser.format_help()}{settings!r}{settings}"


def test_the_data_folder_is_private(tmp_path: Path) -> None:
    folder = prepare_data_dir(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in folder.iterdir()) == ["logs", "models", "uploads"]
    assert all(p.stat().st_mode & 0o777 == 0o700 for p in folder.iterdir())


def test_a_data_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="cannot be used"):
        prepare_data_dir(tmp_path / "file")
