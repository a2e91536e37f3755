"""Files from the Hugging Face Hub (or a mirror of it) through its own client library.

The library downloads a file to a name it never uses again, so a download that was killed would
start from nothing; its `http_get` takes a file to go on with, and that is what is used here.
Runs in the downloading process only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._headers import build_hf_headers

from qwen_webui import __version__
from qwen_webui.checkpoints.job import Job
from qwen_webui.checkpoints.manifest import RemoteFile, part_of
from qwen_webui.errors import CheckpointError, CheckpointMissing, DownloadFailed

LISTING_SECONDS = 30.0
BLOCK = 2**20
AGENT = "qwen-webui"


class HuggingFace:
    """One repository at one revision."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._api = HfApi(endpoint=job.endpoint, library_name=AGENT, library_version=__version__)
        # The library writes ten megabytes at a time: what a kill or a cut loses of a file.
        constants.DOWNLOAD_CHUNK_SIZE = BLOCK
        self._revision = ""

    def listing(self) -> tuple[str, list[RemoteFile]]:
        """The commit that `main` names now, and its files."""
        info = self._api.model_info(self._job.repository, timeout=LISTING_SECONDS)
        self._revision = info.sha or "main"
        entries = self._api.list_repo_tree(self._job.repository, revision=self._revision)
        files = [
            RemoteFile(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        ]
        return self._revision, files

    def fetch(self, file: RemoteFile, folder: Path, checking: Callable[[], None]) -> None:
        """Fetch one file, going on where an earlier try ended, and check its content."""
        part = part_of(folder, file)
        url = hf_hub_url(
            self._job.repository, file.path, revision=self._revision, endpoint=self._job.endpoint
        )
        if part.is_file() and part.stat().st_size > file.size:
            part.unlink()
        with part.open("ab") as target:
            here = target.tell()
            if here < file.size:
                http_get(
                    url,
                    target,
                    resume_size=here,
                    headers=build_hf_headers(library_name=AGENT, library_version=__version__),
                    expected_size=file.size,
                )
        checking()
        if _digest(part, file) != file.digest:
            part.unlink()
            raise DownloadFailed(
                f"{file.path} of {self._job.repository} arrived with wrong content (its checksum "
                f"does not match that of {self._job.hub_name}) and was dropped. Load it again."
            )
        os.replace(part, folder / file.path)

    def translate(self, error: Exception) -> CheckpointError | None:
        """The sentence for an error of the client library; None for one that is not its own."""
        job = self._job
        if isinstance(error, GatedRepoError):
            return DownloadFailed(
                f"{job.repository} is gated on {job.hub_name}: accept its conditions on its page, "
                "then set HF_TOKEN to a token of yours and load it again."
            )
        if isinstance(error, RepositoryNotFoundError | HFValidationError):
            return CheckpointMissing(
                f"{job.hub_name[0].upper()}{job.hub_name[1:]} has no repository {job.repository}, "
                "or it is private. Check the spelling; for a private one set HF_TOKEN."
            )
        if isinstance(error, OfflineModeIsEnabled):
            return DownloadFailed(
                f"{job.repository} is not on this disk and HF_HUB_OFFLINE forbids downloads. "
                "Unset it, or choose a checkpoint that is here."
            )
        if isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            return DownloadFailed(
                f"{job.hub_name[0].upper()}{job.hub_name[1:]} answered {status} for "
                f"{job.repository}. {'Set HF_TOKEN' if status in (401, 403) else 'Wait a little'} "
                "and load it again; what is here is kept."
            )
        if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL):
            return DownloadFailed(
                f"The connection to {job.hub_name} failed ({type(error).__name__}). Check the "
                "network and load it again; what is here is kept."
            )
        return None


def open_repository(job: Job) -> HuggingFace:
    """The repository of the job."""
    return HuggingFace(job)


def _digest(path: Path, file: RemoteFile) -> str:
    """SHA-256, or git's SHA-1 of the blob where that is what the hub gave."""
    if len(file.digest) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\x00" % file.size, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
