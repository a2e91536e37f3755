"""The process that downloads: `python -m qwen_webui.checkpoints.fetch`, a job on standard input.

A process of its own because the client libraries cannot be stopped in the middle of a file; this
one is killed, and goes on later from the bytes that are there. Prints one Report a line and ends
when its standard input closes, so it never outlives the web process.
"""

from __future__ import annotations

import errno
import fnmatch
import importlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from qwen_webui.checkpoints.folders import check_config, read_config
from qwen_webui.checkpoints.job import Job, Report
from qwen_webui.checkpoints.manifest import (
    PART,
    Manifest,
    RemoteFile,
    bytes_here,
    part_of,
    read_manifest,
    write_manifest,
)
from qwen_webui.errors import CheckpointError, DoesNotFit, DownloadFailed

# Weights, configuration, tokenizer and licence; never code and never pickles.
WANTED = ("*.safetensors", "*.json", "*.jinja", "merges.txt", "LICENSE*", "NOTICE*")
REPORT_SECONDS = 0.25
SPARE_DISK = 64 * 2**20


class Source(Protocol):
    """A repository on a hub."""

    def listing(self) -> tuple[str, list[RemoteFile]]:
        """Revision and files."""
        ...

    def fetch(self, file: RemoteFile, folder: Path, checking: Callable[[], None]) -> None:
        """Bring one file, whole and checked, into `folder`."""
        ...

    def translate(self, error: Exception) -> CheckpointError | None:
        """The library's error as a sentence."""
        ...


class _Reporter:
    """Prints where the download stands, a few times a second."""

    def __init__(self, folder: Path, files: Sequence[RemoteFile]) -> None:
        self._folder = folder
        self._files = files
        self._total = sum(file.size for file in files)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.stage = "downloading"

    def __enter__(self) -> _Reporter:
        self._print()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._print()

    def _run(self) -> None:
        while not self._ended.wait(REPORT_SECONDS):
            self._print()

    def _print(self) -> None:
        done = bytes_here(self._folder, self._files)
        print(Report(self.stage, done, self._total).line(), flush=True)


def run(job: Job, source: Source) -> None:
    """Bring every wanted file of the repository into the folder. Raises CheckpointError."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    revision, found = source.listing()
    files = _wanted(job, found)
    before = read_manifest(folder) or Manifest(job.repository)
    manifest = Manifest(
        job.repository, revision, tuple(file for file in files if before.has(folder, file))
    )
    write_manifest(folder, manifest)
    missing = [file for file in files if file not in manifest.files]
    _drop_old_parts(folder, missing)
    _check_space(folder, missing)
    with _Reporter(folder, files) as reporter:
        for number, file in enumerate(missing):
            reporter.stage = "downloading"
            if _is_weights([file]) and not _is_weights(missing[:number]):
                # The small files are here: what cannot be used ends before its weights.
                check_config(read_config(folder))
            _fetch_one(source, file, folder, reporter)
            manifest = manifest.with_file(file)
            write_manifest(folder, manifest)
    write_manifest(folder, Manifest(job.repository, revision, tuple(files), complete=True))


def _drop_old_parts(folder: Path, missing: Sequence[RemoteFile]) -> None:
    """Beginnings of files that the repository has replaced since."""
    current = {part_of(folder, file) for file in missing}
    for path in folder.glob(f"*{PART}"):
        if path not in current:
            path.unlink()


def _fetch_one(source: Source, file: RemoteFile, folder: Path, reporter: _Reporter) -> None:
    def checking() -> None:
        reporter.stage = "checking"

    old = folder / file.path
    old.unlink(missing_ok=True)
    source.fetch(file, folder, checking)


def _is_weights(files: Sequence[RemoteFile]) -> bool:
    return any(file.path.endswith(".safetensors") for file in files)


def _wanted(job: Job, found: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files to fetch, small ones first; those in subfolders belong to other formats."""
    files = [
        file
        for file in found
        if Path(file.path).name == file.path
        and not file.path.startswith(".")
        and any(fnmatch.fnmatchcase(file.path, pattern) for pattern in WANTED)
    ]
    if not _is_weights(files):
        raise CheckpointError(
            f"{job.repository} on {job.hub_name} has no safetensors files; other formats are not "
            "read, for pickles can run code. Choose a repository that has them."
        )
    return sorted(files, key=lambda file: (file.path.endswith(".safetensors"), file.path))


def _check_space(folder: Path, missing: Sequence[RemoteFile]) -> None:
    needed = sum(file.size for file in missing) - bytes_here(folder, missing)
    free = shutil.disk_usage(folder).free
    if needed + SPARE_DISK > free:
        raise _no_space(needed, free)


def _no_space(needed: int, free: int) -> DoesNotFit:
    return DoesNotFit(
        f"The download needs {needed / 1e9:,.2f} GB more, but the disk of the data folder has "
        f"{free / 1e9:,.2f} GB free. Free some, or set --data-dir to a larger disk.",
        code="disk_full",
    )


def open_source(job: Job) -> Source:
    """The client for the job's hub. Raises DownloadFailed when it is not installed."""
    try:
        module = importlib.import_module(f"qwen_webui.checkpoints.{job.hub}")
    except ModuleNotFoundError as error:
        raise DownloadFailed(
            f"--hub {job.hub} needs the package {str(error.name).replace('_', '-')}, which is not "
            f"installed. Install it with `pip install qwen-webui[{job.hub}]`."
        ) from error
    source: Source = module.open_repository(job)
    return source


def _translated(job: Job, source: Source, error: Exception) -> CheckpointError:
    known = source.translate(error)
    if known is not None:
        return known
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(job.folder).free
        return DoesNotFit(
            f"The disk of the data folder is full ({free / 1e9:,.2f} GB free). Free some, or set "
            "--data-dir to a larger disk, and load it again; what is here is kept.",
            code="disk_full",
        )
    if isinstance(error, OSError):
        return DownloadFailed(
            f"The download of {job.repository} broke off ({error.strerror or type(error).__name__})"
            ". Load it again; what is here is kept."
        )
    raise error


def _end_with_parent() -> None:
    """Standard input stays open as long as the web process lives."""

    def wait() -> None:
        while sys.stdin.read(1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Run the job that stands on the first line of standard input."""
    job = Job.of_line(sys.stdin.readline())
    _end_with_parent()
    try:
        source = open_source(job)
        try:
            run(job, source)
        except CheckpointError:
            raise
        # Whatever the client library raises; what nobody knows is raised again.
        except Exception as error:
            raise _translated(job, source, error) from error
    except CheckpointError as error:
        print(Report.of_error(error).line(), flush=True)
        return 1
    print(Report("done").line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
