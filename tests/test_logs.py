"""Log lines: one a record, nothing forged, nothing of the inside of an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen_webui import logs
from qwen_webui.errors import SettingsError

log = logging.getLogger("qwen_webui.test")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to log to; every logger is as it was before when the test ends."""
    loggers = [logging.getLogger(name) for name in logs.LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    yield tmp_path
    logging.captureWarnings(False)
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logs.tear_down(logger)
        logger.level, logger.propagate = level, propagate


def lines(folder: Path) -> list[str]:
    return (folder / logs.FILE_NAME).read_text(encoding="utf-8").splitlines()


def test_a_record_is_one_line(folder: Path) -> None:
    logs.set_up("info", folder)
    log.info("path %s", "/a\r\nINFO forged\x1b[31m\x85\u2028end 中文")
    log.debug("too fine")
    assert len(lines(folder)) == 1
    assert lines(folder)[0].endswith("path /a\\r\\nINFO forged\\x1b[31m\\x85\\u2028end 中文")


def test_the_log_is_for_its_owner(folder: Path) -> None:
    logs.set_up("info", folder)
    assert (folder / logs.FILE_NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("level", ["info", "debug"])
def test_errors(folder: Path, level: str) -> None:
    logs.set_up(level, folder)
    try:
        raise ValueError("a prompt\nINFO forged")
    except ValueError:
        log.exception("it failed")
    text = "\n".join(lines(folder))
    assert "ValueError" in text and "test_errors" in text
    assert ("a prompt" in text) is (level == "debug")
    assert all(line.startswith("    | ") for line in lines(folder)[1:])


def test_files_rotate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 2000)
    logs.set_up("info", folder)
    for number in range(500):
        log.info("line %d", number)
    files = list(folder.iterdir())
    assert len(files) == logs.FILES_KEPT + 1
    assert all(file.stat().st_size <= 2000 for file in files)


def test_setting_up_twice_doubles_nothing(folder: Path) -> None:
    logs.set_up("info", folder)
    logs.set_up("warning", folder)
    log.info("no")
    log.warning("yes")
    assert len(lines(folder)) == 1


def test_a_file_that_cannot_be_had_is_a_sentence(folder: Path) -> None:
    (folder / logs.FILE_NAME).mkdir()
    with pytest.raises(SettingsError, match="log file"):
        logs.set_up("info", folder)


def test_a_full_disk_is_told_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """reliability line 31: the log; the console goes on."""
    (folder / logs.FILE_NAME).symlink_to("/dev/full")
    logs.set_up("info", folder)
    for number in range(20):
        log.info("line %d", number)
    told = capsys.readouterr().err
    assert told.count("cannot be written (No space left on device)") == 1
    assert "line 19" in told and "Traceback" not in told
