"""What eight threads would read to a card, as far as no card is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from qwen_webui.engines.decode.cuda.reading import Readers
from qwen_webui.engines.decode.source import NotForThisPath


def test_types_that_are_not_read_are_named(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(4).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with Readers() as readers:
        file = readers.opened(tmp_path / "a.safetensors")
        with pytest.raises(NotForThisPath, match="w is stored as F8_E4M3"):
            file.get_tensor("w")


def test_a_file_that_is_cut_off_is_refused_as_the_library_refuses_it(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(400)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[:-8])
    with Readers() as readers, pytest.raises(SafetensorError):
        readers.opened(tmp_path / "a.safetensors")
