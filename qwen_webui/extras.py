"""Whether the optional libraries that quantise, and read what only they read, are installed.

Imports none of them: that takes seconds and prints.
"""

from __future__ import annotations

from importlib.util import find_spec

# Two of the extra `quantize` in pyproject.toml; the others come with them.
QUANTIZERS = ("gptqmodel", "optimum")
INSTALL = "pip install 'qwen-webui[quantize]'"


def has_quantizers() -> bool:
    """Whether both can be imported."""
    return all(find_spec(name) is not None for name in QUANTIZERS)
