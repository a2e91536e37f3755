"""The web process's side of a download: starts the process that does it, reads, kills.

Holds no client library and no bytes; fetch.py does the work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from qwen_webui.checkpoints.job import Job, Report
from qwen_webui.errors import DownloadFailed
from qwen_webui.types import Progress

log = logging.getLogger(__name__)

# What the client libraries would tell or ask beyond the files, or show on a console.
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Xet keeps no partial file and speaks to hosts of its own.
    "HF_HUB_DISABLE_XET": "1",
    "DO_NOT_TRACK": "1",
    "MODELSCOPE_DOWNLOAD_INTRA_CLOUD": "false",
    "MODELSCOPE_DOWNLOAD_INTER_CLOUD_REGIONS": "",
    "MODELSCOPE_DOWNLOAD_MAX_RETRIES": "3",
    "MODELSCOPE_LOG_LEVEL": "ERROR",
}


async def download(job: Job, report: Callable[[Progress], None]) -> None:
    """Run the job. Cancelling kills the process at once; what has arrived is kept.

    Raises CheckpointMissing, CheckpointError, DoesNotFit (disk) and DownloadFailed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qwen_webui.checkpoints.fetch"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(os.environ),
    )
    assert process.stdin and process.stderr
    complaints = asyncio.ensure_future(process.stderr.read())
    try:
        process.stdin.write(job.line().encode() + b"\n")
        last = await _follow(process, report)
    except BaseException:
        # Cancelled, or `report` failed: nobody waits for the files any more.
        with suppress(ProcessLookupError):  # it may have ended in this moment
            process.kill()
        raise
    finally:
        process.stdin.close()
        await process.wait()
        errors = (await complaints).decode("utf-8", "replace")
    last.raise_error()
    if last.stage != "done":
        log.error("the download process ended with %s: %s", process.returncode, errors[-2000:])
        raise DownloadFailed(
            f"The download of {job.repository} broke off for a reason of its own; the log has "
            "it. Load it again; what is here is kept."
        )


async def _follow(
    process: asyncio.subprocess.Process, report: Callable[[Progress], None]
) -> Report:
    """Pass progress on until the process ends; its last line."""
    assert process.stdout
    last = Report("")
    async for line in process.stdout:
        last = Report.of_line(line.decode("utf-8"))
        if last.total:
            report(last.progress)
    return last


def _environment(current: Mapping[str, str]) -> dict[str, str]:
    """The process finds this package wherever it was started from."""
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [current.get("PYTHONPATH")])]
    return {**current, **QUIET, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}
