"""A base install, for every Python process that has this folder on its PYTHONPATH: what the extra
`quantize` brings cannot be imported."""

from __future__ import annotations

import sys

for name in ("gptqmodel", "optimum", "datasets", "pyarrow", "torchao"):
    sys.modules[name] = None  # type: ignore[assignment]
