"""Files from ModelScope through its own client library (`modelscope-hub`).

The library resumes and checks by itself. What it would tell or ask beyond the files is off: no
lasting session id, no probing of cloud regions. Runs in the downloading process only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import requests
from modelscope_hub import HubApi, HubConfig
from modelscope_hub.errors import (
    APIError,
    AuthenticationError,
    FileDownloadError,
    FileIntegrityError,
    HubError,
    NotExistError,
    PermissionDeniedError,
)

from qwen_webui.checkpoints.job import Job
from qwen_webui.checkpoints.manifest import RemoteFile
from qwen_webui.errors import CheckpointError, CheckpointMissing, DownloadFailed

REVISION = "master"


class _Anonymous(HubConfig):  # type: ignore[misc]
    """The library's settings, without the id it would keep to recognise this machine."""

    __slots__ = ()

    def get_session_id(self) -> str:
        return "0" * 32


class ModelScope:
    """One repository at its main revision."""

    def __init__(self, job: Job) -> None:
        self._job = job
        config = _Anonymous(endpoint=job.endpoint, cache_dir=Path(job.folder) / ".cache")
        self._api = HubApi(config)

    def listing(self) -> tuple[str, list[RemoteFile]]:
        """The revision's name and its files."""
        found = self._api.list_repo_files(self._job.repository, "model", revision=REVISION)
        files = [
            RemoteFile(entry.path, entry.size or 0, entry.sha256 or "")
            for entry in found
            if entry.type != "tree"
        ]
        return REVISION, files

    def fetch(self, file: RemoteFile, folder: Path, checking: Callable[[], None]) -> None:
        """Fetch one file, going on where an earlier try ended; the library checks its content."""
        self._api.download_file(
            self._job.repository,
            "model",
            file.path,
            revision=REVISION,
            local_dir=folder,
            expected_sha256=file.digest or None,
            file_size=file.size,
        )

    def translate(self, error: Exception) -> CheckpointError | None:
        """The sentence for an error of the client library; None for one that is not its own."""
        job = self._job
        if isinstance(error, FileDownloadError) and getattr(error, "failed_files", None):
            error = next(iter(error.failed_files.values()))
        if isinstance(error, NotExistError):
            return CheckpointMissing(
                f"{job.hub_name[0].upper()}{job.hub_name[1:]} has no repository {job.repository}, "
                "or it is private. Check the spelling; for a private one set MODELSCOPE_API_TOKEN."
            )
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            return DownloadFailed(
                f"{job.repository} is not open to everybody on {job.hub_name}. Accept its "
                "conditions on its page, set MODELSCOPE_API_TOKEN and load it again."
            )
        if isinstance(error, FileIntegrityError):
            return DownloadFailed(
                f"A file of {job.repository} arrived with wrong content (length or checksum) and "
                "was dropped. Load it again."
            )
        if isinstance(error, APIError) and error.status_code:
            return DownloadFailed(
                f"{job.hub_name[0].upper()}{job.hub_name[1:]} answered {error.status_code} for "
                f"{job.repository}. Wait a little and load it again; what is here is kept."
            )
        if isinstance(error, HubError | requests.RequestException):
            return DownloadFailed(
                f"The connection to {job.hub_name} failed ({type(error).__name__}). Check the "
                "network and load it again; what is here is kept."
            )
        return None


def open_repository(job: Job) -> ModelScope:
    """The repository of the job."""
    return ModelScope(job)
