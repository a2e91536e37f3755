"""Hostile files through the front door: a sentence within 10 s, and the server does not grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.documents import hostile, making
from tests.test_server import SLACK, Process, folder, launched

__all__ = ["folder"]  # the fixture

pytestmark = pytest.mark.slow

SECONDS = 10
# Each is another way to hurt: memory, pages, loops, entities, depth, time, locks, nothing at all.
FILES = (
    *("flate bomb", "million pages", "prev loop", "docx entities", "pptx external", "deep json"),
    *("encrypted", "zero bytes", "lying docx bomb", "cut pdf"),
)
ROUNDS = 2
GROWN = 16 << 20


@pytest.fixture
def process(tmp_path: Path, folder: Path) -> Iterator[Process]:
    with launched(tmp_path, folder) as process:
        process.wait_for("/readyz")
        yield process


class Memory:
    """How much memory the server itself needs at most, from now on."""

    def __init__(self, process: Process) -> None:
        self._folder = Path(f"/proc/{process.popen.pid}")
        # Sets the mark of the peak back to what is in use now: proc(5).
        (self._folder / "clear_refs").write_text("5")
        self._before = self._peak()

    def _peak(self) -> int:
        status = (self._folder / "status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    @property
    def grown(self) -> int:
        """In bytes."""
        return self._peak() - self._before


def upload(process: Process, name: str, content: bytes) -> httpx.Response:
    url = f"{process.url}/api/documents"
    return httpx.post(url, files={"file": (name, content)}, timeout=60)


def test_the_server_does_not_grow(process: Process) -> None:
    """reliability line 45"""
    server = psutil.Process(process.popen.pid)
    made = [hostile.refused()[what]() for what in FILES]
    # Before it is measured, everything has been used once.
    assert upload(process, "a.pdf", making.pdf(["A text."])).status_code == 201
    assert upload(process, *made[0]).status_code == 422
    children = set(server.children(recursive=True))
    memory = Memory(process)
    for name, content in made * ROUNDS:
        started = time.monotonic()
        answer = upload(process, name, content)
        assert answer.status_code == 422, (name, answer.text)
        assert time.monotonic() - started < SECONDS, name
        error = answer.json()["error"]
        assert error["code"].startswith("document_") and error["message"].endswith(".")
        assert set(server.children(recursive=True)) <= children, name
        started = time.monotonic()
        assert process.get("/healthz").status_code == 200
        assert time.monotonic() - started < 0.05 * SLACK
    assert memory.grown < GROWN
    uploads = process.data / "uploads"
    assert len(list(uploads.iterdir())) == 1
    assert "Traceback" not in process.output()


def test_a_file_of_fifty_megabytes_is_not_held_in_memory(process: Process) -> None:
    upload(process, "a.txt", b"A text.")
    memory = Memory(process)
    # A picture by its beginning: it is refused as soon as it has been received.
    content = b"\x89PNG\r\n\x1a\n" + bytes(50 * 2**20 - 8)
    for _ in range(3):
        assert upload(process, "a.md", content).status_code == 415
    assert memory.grown < GROWN
    over = upload(process, "a.md", content + bytes(1 << 20))
    assert (over.status_code, over.json()["error"]["code"]) == (413, "payload_too_large")
