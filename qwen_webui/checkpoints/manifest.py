"""What a download folder says of itself: which files, of which revision, are whole.

One small JSON file beside the weights. A file is entered only after its checksum was right.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

NAME = ".download.json"
PART = ".part"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. `digest` names its content: sha256, or git's hash of the blob."""

    path: str
    size: int
    digest: str = ""


@dataclass(frozen=True)
class Manifest:
    """`files` are whole on this disk; `complete` when nothing of the repository is missing."""

    repository: str
    revision: str = ""
    files: tuple[RemoteFile, ...] = field(default=())
    complete: bool = False

    def has(self, folder: Path, file: RemoteFile) -> bool:
        """Whether this content was fetched, checked, and still has its length."""
        path = folder / file.path
        return file in self.files and path.is_file() and path.stat().st_size == file.size

    def whole(self, folder: Path) -> bool:
        """Whether every file of the repository is here with its length."""
        return self.complete and all(self.has(folder, file) for file in self.files)

    def with_file(self, file: RemoteFile) -> Manifest:
        """With `file` in place of what had its path."""
        others = tuple(f for f in self.files if f.path != file.path)
        return replace(self, files=(*others, file), complete=False)


def read_manifest(folder: Path) -> Manifest | None:
    """None where there is none, or none that can be read."""
    try:
        data = json.loads((folder / NAME).read_text(encoding="utf-8"))
        files = tuple(RemoteFile(**entry) for entry in data.pop("files"))
        return Manifest(**data, files=files)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step, so that a kill leaves the old one or the new."""
    temporary = folder / f"{NAME}.new"
    temporary.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    os.replace(temporary, folder / NAME)


def part_of(folder: Path, file: RemoteFile) -> Path:
    """Where the bytes of an unfinished file are kept. The digest keeps revisions apart."""
    return folder / f"{file.path}.{file.digest[:16] or 'unknown'}{PART}"


def bytes_here(folder: Path, files: Sequence[RemoteFile]) -> int:
    """Bytes of `files` on this disk, finished or not."""
    return sum(min(file.size, _size_here(folder, file)) for file in files)


def _size_here(folder: Path, file: RemoteFile) -> int:
    names = (part_of(folder, file), folder / f"{file.path}.incomplete", folder / file.path)
    for path in names:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            continue
    return 0
