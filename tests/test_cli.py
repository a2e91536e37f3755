"""The commands, entered as a person does: words in, text and an exit code out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen_webui import cli
from qwen_webui.settings import Settings, flag
from tests.serving import until
from tests.ui.site import Site

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site")).start()
    running.call(until(running.services.manager, lambda status: status.state == "ready"))
    yield running
    running.stop()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """`python app.py WORDS` with no variables of ours from outside."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QWEN_WEBUI_")}
    return subprocess.run(
        [sys.executable, "app.py", *words], cwd=ROOT, capture_output=True, text=True, env=clean
    )


def test_a_reader_that_has_enough_is_no_error() -> None:
    words = [sys.executable, "app.py", "models", "--device", "cpu"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
        assert asked.stdout is not None and asked.stderr is not None
        asked.stdout.close()
        assert asked.stderr.read() == b""
    assert asked.returncode == 1


def test_help_names_every_setting_and_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert [n for n in Settings.model_fields if flag(n) not in done.stdout] == []
    assert [c for c in cli.COMMANDS if f"qwen-webui {c}" not in done.stdout and c != "serve"] == []


@pytest.mark.parametrize("command", cli.COMMANDS[1:])
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"qwen-webui {command}" in done.stdout


def test_an_unknown_flag_is_refused() -> None:
    done = run("--quantise", "gptq-int4")
    assert done.returncode == 2
    assert "--quantise" in done.stderr


def test_a_wrong_value_is_one_sentence_and_no_traceback() -> None:
    done = run("--quantize", "int3")
    assert done.returncode == 1
    assert done.stderr.startswith("qwen-webui: --quantize")
    assert "Traceback" not in done.stderr


def test_models_lists_the_catalogue(tmp_path: Path) -> None:
    done = run("models", "--data-dir", str(tmp_path / "none"), "--device", "cpu")
    assert done.returncode == 0
    assert "qwen2.5-7b-instruct-gptq-int4" in done.stdout
    assert "Qwen Research" in done.stdout
    assert not (tmp_path / "none").exists(), "a listing must not create the data folder"


def test_a_list_goes_on_over_what_a_context_is_too_long_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data-dir", str(tmp_path), "--device", "cpu", "--max-context", "131072"]
    assert cli.main(["models", *words]) == 0
    assert "demo-fp16" in capsys.readouterr().out


def test_chat_asks_a_running_server(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chat", "good morning", "--url", site.url]) == 0
    assert capsys.readouterr().out == "Echo: good morning\n"


def test_chat_tells_what_the_server_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chat", "hello", "--url", site.url, "--max-new-tokens", "99999"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "max_new_tokens" in said.err


def test_chat_shows_the_server_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = Site(tmp_path, api_key="the-servers-key").start()
    try:
        locked.call(until(locked.services.manager, lambda status: status.state == "ready"))
        words = ["chat", "good morning", "--url", locked.url]
        for more in ([], ["--api-key", "some-other-key"]):
            assert cli.main([*words, *more]) == 1
            said = capsys.readouterr().err
            assert "asks for" in said and "--api-key" in said and "QWEN_WEBUI_API_KEY" in said
            assert "some-other-key" not in said
        assert cli.main([*words, "--api-key", "the-servers-key"]) == 0
        monkeypatch.setenv("QWEN_WEBUI_API_KEY", "the-servers-key")
        assert cli.main(words) == 0
        assert capsys.readouterr().out == "Echo: good morning\n" * 2
    finally:
        locked.stop()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nowhere"])
def test_chat_without_a_server_is_a_sentence(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chat", "hello", "--url", url]) == 1
    assert f"No qwen-webui server answered at {url}" in capsys.readouterr().err


@pytest.mark.slow
def test_chat_answers_by_itself(tmp_path: Path) -> None:
    done = run("chat", "Who are you?", "--temperature", "0", "--data-dir", str(tmp_path / "d"))
    assert done.returncode == 0, done.stderr
    assert "demonstration model" in done.stdout


@pytest.mark.slow
def test_chat_with_a_missing_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    words = ("--model", str(tmp_path / "nothing"), "--data-dir", str(tmp_path / "d"))
    done = run("chat", "hello", *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "nothing" in done.stderr
