"""What was asked on the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.errors import DocumentError, NotFound


@dataclass(frozen=True)
class FileQuestion:
    """None means the persona's or the checkpoint's default. `everything` true reads all of the
    files where they do not fit, part after part; `ocr` reads scanned pages first."""

    files: tuple[Path, ...]
    text: str
    everything: bool | None = None
    ocr: bool = False
    as_json: bool = False
    max_new_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None

    def check_files(self) -> None:
        """Raise NotFound for the first that is not there, DocumentError if it may not be read."""
        for file in self.files:
            if not file.is_file():
                raise NotFound(
                    f"There is no file {str(file)!r}. Give the files first and the question last, "
                    "in quotation marks.",
                    param="files",
                )
            if not os.access(file, os.R_OK):
                raise DocumentError(f"You may not read {str(file)!r}. Change who may, or copy it.")
