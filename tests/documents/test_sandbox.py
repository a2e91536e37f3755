"""The reading process can neither write a file nor take more memory than it may."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from qwen_webui.documents.sandbox import wall_in
from qwen_webui.documents.values import Limits
wall_in(Limits(memory_bytes=2**29))
try:
    with open(sys.argv[1], "w") as file:
        file.write("x")
    print("written")
except OSError:
    print("no file")
try:
    print(len(bytearray(2**30)))
except MemoryError:
    print("no memory")
"""


def test_the_walls_hold(tmp_path: Path) -> None:
    path = tmp_path / "file"
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["no file", "no memory"]
    assert not path.exists() or path.read_bytes() == b""
