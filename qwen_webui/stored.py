"""What the program keeps in its data folder, and how all of it is deleted.

Only entries that the program itself makes are listed or deleted, so a data folder that someone
pointed at a place with other files in it loses none of them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.errors import SettingsError

HOLDS = {
    "conversations.sqlite3": "conversations and runs of the JSON tab",
    "conversations.sqlite3-wal": "conversations not yet merged into their file",
    "conversations.sqlite3-shm": "index of the file before",
    "uploads": "uploaded documents and their text",
    "logs": "log files",
    "models": "downloaded checkpoints",
    "fidelity": "predictions of unquantised checkpoints, kept for comparisons",
    "comparisons": "comparisons of checkpoints: prompts and answers",
    "measurements": "reports of what was measured",
}


@dataclass(frozen=True)
class Stored:
    """One entry of the data folder; `bytes` counts everything below it."""

    name: str
    holds: str
    bytes: int


def list_stored(data_dir: Path) -> tuple[Stored, ...]:
    """Everything of ours that is there now, copies kept by a schema migration too."""
    if not data_dir.is_dir():
        return ()
    return tuple(
        Stored(path.name, holds, _size(path))
        for path in sorted(data_dir.iterdir())
        if (holds := _holds(path.name))
    )


def delete_everything(data_dir: Path) -> None:
    """Delete what `list_stored` lists; the folder itself goes too when nothing else is in it."""
    try:
        for part in list_stored(data_dir):
            path = data_dir / part.name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if data_dir.is_dir() and not any(data_dir.iterdir()):
            data_dir.rmdir()
    except OSError as error:
        raise SettingsError(
            f"{error.filename} could not be deleted ({error.strerror}); close the program if it "
            "is running and try again."
        ) from error


def _holds(name: str) -> str:
    if name.startswith("conversations.sqlite3."):
        return "copy of the conversations from before an upgrade"
    return HOLDS.get(name, "")


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(f.lstat().st_size for f in path.rglob("*") if not f.is_dir())
