"""Where log lines go and how they look: the console and a rotating file in the data folder.

One record is one line that nobody can forge: control characters of what is logged are escaped.
What is worth a line is up to each module; prompts only where `--log-prompts` asked for them.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from qwen_webui.errors import SettingsError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FILE_NAME = "qwen-webui.log"
FILE_BYTES, FILES_KEPT = 5 << 20, 5
LOGGERS = ("qwen_webui", "uvicorn", "py.warnings")

# C0, DEL, C1, and Unicode's own line ends: whatever a terminal or a reader takes for a new line.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class OneLine(logging.Formatter):
    """Escapes control characters. Of an exception only its type and place are shown, because its
    text may quote a prompt or a path; with `traces` all of it, indented."""

    def __init__(self, *, traces: bool) -> None:
        super().__init__(FORMAT)
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        line = one_line(self.formatMessage(record))
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line += self._trace(error) if self._traces else _place(error)
        return line

    def _trace(self, error: BaseException) -> str:
        text = "".join(traceback.format_exception(error))
        return "".join(f"\n    | {one_line(part)}" for part in text.splitlines())


def one_line(text: str) -> str:
    """`text` with every control character written as an escape."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return f" [{type(error).__name__}]"
    last = frames[-1]
    return f" [{type(error).__name__} in {last.name}, {Path(last.filename).name}:{last.lineno}]"


class _File(RotatingFileHandler):
    """On a full disk the program goes on, and the console is told once."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            print(f"The log file cannot be written ({error.strerror}).", file=sys.stderr)


def set_up(level: str, folder: Path) -> None:
    """Log from `level` up to standard error and to files in `folder`, which must exist. Raises
    SettingsError when they cannot be written."""
    # The log may hold prompts: like the data folder, it is for its owner only.
    path = folder / FILE_NAME
    try:
        path.touch(mode=0o600)
        file = _File(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise SettingsError(
            f"The log file {FILE_NAME} in the data folder cannot be written ({error.strerror}). "
            "Move it away, or choose another folder with --data-dir."
        ) from error
    console = logging.StreamHandler(sys.stderr)
    for handler in (console, file):
        handler.setFormatter(OneLine(traces=level == "debug"))
    logging.captureWarnings(True)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        # uvicorn's own lines below a warning say nothing that ours do not.
        logger.setLevel("WARNING" if name == "uvicorn" else level.upper())
        logger.propagate = False
        tear_down(logger)
        for handler in (console, file):
            logger.addHandler(handler)


def tear_down(logger: logging.Logger) -> None:
    """Remove and close what a set-up before this one added to `logger`."""
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        with suppress(OSError):  # lines that a full disk never took
            old.close()
