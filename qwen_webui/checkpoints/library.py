"""The catalogue together with what is on this disk, and the way from one to the other.

The model manager knows checkpoints only through this. Where files lie under the data folder is
decided here; how they get there, in downloads.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from qwen_webui.checkpoints.catalogue import catalogue
from qwen_webui.checkpoints.choice import lookup, named_apart, of_repository, unknown_name
from qwen_webui.checkpoints.downloads import download
from qwen_webui.checkpoints.folders import describe_folder, verify_folder
from qwen_webui.checkpoints.job import Hub, Job
from qwen_webui.checkpoints.manifest import NAME, read_manifest
from qwen_webui.errors import CheckpointError, DownloadFailed, NotFound, SettingsError
from qwen_webui.types import CheckpointSpec, Progress


class Library:
    """Every checkpoint this program knows, and where its files are."""

    def __init__(
        self,
        downloads: Path,
        *,
        hub: str,
        endpoint: str | None,
        offline: bool,
        demo: Path | None = None,
    ) -> None:
        """`downloads` is the folder for fetched files; `demo` holds the embedded checkpoints, by
        default those of the package. Raises SettingsError.
        """
        if hub not in get_args(Hub):
            raise SettingsError(
                f"--hub is {hub!r}; expected is one of {', '.join(get_args(Hub))}.", param="hub"
            )
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise SettingsError(
                "--hub-endpoint must begin with http:// or https://.", param="hub_endpoint"
            )
        self._models = downloads
        self._hub = cast(Hub, hub)
        self._endpoint = endpoint.rstrip("/") if endpoint else None
        self._offline = offline
        self._catalogue = catalogue(demo)
        self._added: dict[str, CheckpointSpec] = {}
        # By folder: when its manifest was written, and what the folder then held.
        self._described: dict[Path, tuple[int, CheckpointSpec | None]] = {}

    def all(self) -> tuple[CheckpointSpec, ...]:
        """Embedded, catalogue, other downloads, added folders; `folder` is set where it is here."""
        known = [self._located(spec) for spec in self._catalogue]
        return (*known, *self._other_downloads(known), *self._added.values())

    def get(self, name: str) -> CheckpointSpec:
        """By name, hub id or added folder; a hub id outside the catalogue is taken as it is.

        Raises NotFound with the nearest names.
        """
        known = self.all()
        spec = lookup(name, known) or of_repository(name)
        if spec is None:
            raise NotFound(unknown_name(name, known), param="name")
        return self._located(spec)

    def add_folder(self, folder: Path) -> CheckpointSpec:
        """Make a folder of the user's known by its name. Raises CheckpointError, -Missing."""
        spec = named_apart(describe_folder(folder), self.all())
        self._added[spec.name] = spec
        return spec

    async def fetch(self, spec: CheckpointSpec, report: Callable[[Progress], None]) -> Path:
        """The folder of `spec` with every file checked, downloaded first if need be.

        `report` gets bytes of bytes. Cancelling stops at once; the next call goes on from there.
        Raises CheckpointError, CheckpointMissing, DoesNotFit for the disk, DownloadFailed.
        """
        if spec.hub_id is None:
            assert spec.folder, "a checkpoint is on a hub or in a folder"
            await asyncio.to_thread(verify_folder, Path(spec.folder))
            return Path(spec.folder)
        folder = self._folder_of(spec.hub_id)
        if await asyncio.to_thread(self._is_here, folder, spec.hub_id):
            return folder
        if self._offline:
            raise DownloadFailed(
                f"{spec.title} is not on this disk, and --offline forbids downloads. Start without "
                "--offline once to fetch it, or choose a checkpoint that is here."
            )
        await download(Job(self._hub, self._endpoint, spec.hub_id, str(folder)), report)
        await asyncio.to_thread(verify_folder, folder)
        return folder

    def _is_here(self, folder: Path, hub_id: str) -> bool:
        manifest = read_manifest(folder)
        if manifest is None or manifest.repository != hub_id or not manifest.whole(folder):
            return False
        verify_folder(folder)
        return True

    def _folder_of(self, hub_id: str) -> Path:
        return self._models / hub_id.replace("/", "--")

    def _located(self, spec: CheckpointSpec) -> CheckpointSpec:
        """`spec` as the files on this disk tell it, if they are here."""
        if spec.hub_id is None:
            return spec
        here = self._described_download(self._folder_of(spec.hub_id), spec)
        return here or spec

    def _described_download(self, folder: Path, spec: CheckpointSpec) -> CheckpointSpec | None:
        try:
            written = (folder / NAME).stat().st_mtime_ns
        except OSError:
            return None
        known = self._described.get(folder)
        if known is None or known[0] != written:
            known = (written, _describe_download(folder, spec))
            self._described[folder] = known
        return known[1]

    def _other_downloads(self, known: list[CheckpointSpec]) -> list[CheckpointSpec]:
        """What was downloaded by hub id and is not in the catalogue."""
        taken = {spec.hub_id for spec in known}
        found = []
        for path in sorted(self._models.glob(f"*/{NAME}")):
            manifest = read_manifest(path.parent)
            spec = of_repository(manifest.repository) if manifest else None
            if spec is not None and spec.hub_id not in taken:
                located = self._described_download(path.parent, spec)
                found += [located] if located else []
        return found


def _describe_download(folder: Path, spec: CheckpointSpec) -> CheckpointSpec | None:
    """What the folder holds, under the catalogue's name and licence; None unless it is whole."""
    manifest = read_manifest(folder)
    if manifest is None or not manifest.whole(folder):
        return None
    try:
        found = describe_folder(folder, spec.name)
    except CheckpointError:
        # The load will say what is wrong; until then it counts as not here.
        return None
    return replace(
        spec,
        folder=str(folder),
        size=spec.size or found.size,
        precision=found.precision,
        weights_bytes=found.weights_bytes,
        shape=found.shape,
        group_size=found.group_size,
    )
