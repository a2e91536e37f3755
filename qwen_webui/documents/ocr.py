"""Whether scanned pages can be read here: Tesseract, its languages, and what to install.

Asks the program itself; reading pages is recognise.py's business, in the reading process.
"""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass

# Languages of this program's users by Tesseract's name, with the Debian package of each.
PACKAGES = {"eng": "tesseract-ocr-eng", "chi_sim": "tesseract-ocr-chi-sim"}
INSTALL = "apt install tesseract-ocr tesseract-ocr-chi-sim"
_ASK_SECONDS = 10


@dataclass(frozen=True)
class Ocr:
    """`languages` that are there, of those in PACKAGES; `install` gets what is missing, if any."""

    available: bool
    languages: tuple[str, ...] = ()
    install: str = ""

    @property
    def argument(self) -> str:
        """For `DocumentReader.recognise`: with both, each page is read in the one that fits it."""
        return "+".join(sorted(self.languages))


def find_tesseract() -> str | None:
    """The program, if it is on the search path."""
    return shutil.which("tesseract")


async def find_ocr() -> Ocr:
    """What is there now. Takes about 20 ms; an installation while this runs is noticed."""
    program = find_tesseract()
    if program is None:
        return Ocr(available=False, install=INSTALL)
    process = await asyncio.create_subprocess_exec(
        *(program, "--list-langs"), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            printed, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Ocr(available=False, install=INSTALL)
    return ocr_of(printed.decode("utf-8", "replace"))


def ocr_of(printed: str) -> Ocr:
    """What `tesseract --list-langs` printed, understood."""
    there = {line.strip() for line in printed.splitlines()[1:]}
    found = tuple(name for name in PACKAGES if name in there)
    missing = [package for name, package in PACKAGES.items() if name not in there]
    return Ocr(bool(found), found, f"apt install {' '.join(missing)}" if missing else "")
