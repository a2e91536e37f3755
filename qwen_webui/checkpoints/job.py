"""What crosses between the web process and the process that downloads: a job in, lines out."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from qwen_webui.errors import CheckpointError, CheckpointMissing, DoesNotFit, DownloadFailed
from qwen_webui.types import Progress

Hub = Literal["huggingface", "modelscope"]
HUB_NAMES: dict[Hub, str] = {"huggingface": "the Hugging Face Hub", "modelscope": "ModelScope"}

_ERRORS: dict[str, type[CheckpointError]] = {
    "invalid": CheckpointError,
    "missing": CheckpointMissing,
    "space": DoesNotFit,
    "failed": DownloadFailed,
}


@dataclass(frozen=True)
class Job:
    """Fetch the wanted files of `repository` into `folder`. `endpoint` None is the public hub."""

    hub: Hub
    endpoint: str | None
    repository: str
    folder: str

    @property
    def hub_name(self) -> str:
        """For sentences; an address of the user's own is not repeated."""
        return "the hub of --hub-endpoint" if self.endpoint else HUB_NAMES[self.hub]

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Job:
        """The job that `line` made."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Report:
    """One line from the downloading process: progress, an error, or the end."""

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Report:
        """The report that `line` made."""
        return cls(**json.loads(line))

    @classmethod
    def of_error(cls, error: CheckpointError) -> Report:
        """An error on its way out of the process."""
        kind = next((k for k, v in _ERRORS.items() if type(error) is v), "invalid")
        return cls(f"error:{kind}", message=error.message)

    @property
    def progress(self) -> Progress:
        """Bytes of bytes."""
        return Progress(self.stage, self.done, self.total, "bytes")

    def raise_error(self) -> None:
        """Raise what the other process raised, if it did."""
        kind = self.stage.removeprefix("error:")
        if kind == self.stage:
            return
        code = "disk_full" if kind == "space" else None
        raise _ERRORS[kind](self.message, code=code)
