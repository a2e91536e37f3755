"""From a checkpoint's folder to a CudaComputer that has been tried out.

Decides how much memory the cache takes. What cannot be computed here, for whatever reason, comes
out as NotForThisPath, and the caller takes the reference path.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PretrainedConfig

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.cuda.cache import MOST, PAGE, Cache, page_bytes
from qwen_webui.engines.decode.cuda.host import PinnedCopy
from qwen_webui.engines.decode.cuda.reading import Readers
from qwen_webui.engines.decode.cuda.tiles import Card
from qwen_webui.engines.decode.cuda.weights import Weights, read
from qwen_webui.engines.decode.host_cache import Copy
from qwen_webui.engines.decode.source import NotForThisPath, Source, rotation
from qwen_webui.errors import CheckpointError
from qwen_webui.types import Dtype, LoadPlan

if TYPE_CHECKING:
    from qwen_webui.engines.decode.cuda.computer import CudaComputer

# Tensor cores that multiply bfloat16 and copies that run ahead.
AMPERE = (8, 0)
# What a piece of a prompt takes beside the cache: 0.8 GB at 7B.
RESERVED = 1 << 30
# Of what is left then. The rest of the card is other people's.
SHARE = 0.5
# Tokens of a piece, where twice RESERVED is left beside the cache, and where it is not.
PIECE, SMALL_PIECE = 6144, 2048

log = logging.getLogger(__name__)


def load_computer(plan: LoadPlan, config: PretrainedConfig, dtype: Dtype) -> Computer:
    """Raises NotForThisPath with the reason, CheckpointError, torch.OutOfMemoryError."""
    if dtype == "float32":
        raise NotForThisPath("it is computed in float32")
    capability = torch.cuda.get_device_capability()
    if capability < AMPERE:
        raise NotForThisPath(f"compute capability {capability[0]}.{capability[1]} is below 8.0")
    try:
        with Readers() as readers:
            source = Source(Path(plan.folder), config, "cuda", opened=readers.opened)
            weights = read(source, getattr(torch, dtype))
            return assemble(weights, config, plan.max_context, source)
    except (NotForThisPath, CheckpointError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        # Compilers and drivers fail in many ways, and the reference path still answers.
        log.warning("the decode path does not work here", exc_info=error)
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise NotForThisPath(f"its kernels do not work here ({reason})") from error


def assemble(
    weights: Weights, config: PretrainedConfig, max_context: int, source: Source | None = None
) -> CudaComputer:
    """Cache, kernels and graphs for weights that are on the card; tried out beside `source`, if
    there is one."""
    # Triton is there only where a card is, and this module must be readable everywhere.
    from qwen_webui.engines.decode.cuda import check
    from qwen_webui.engines.decode.cuda.computer import CudaComputer

    cos, sin = rotation(config, max_context)
    half = weights.shape.head // 2
    cache = Cache(weights, pages_for(weights, max_context), MOST, cos[:, :half], sin[:, :half])
    card = Card.here()
    piece = PIECE if room() >= 2 * RESERVED else SMALL_PIECE
    computer = CudaComputer(weights, cache, card, piece)
    first = computer.get_ready(check.kernels(weights, card) if source else ())
    if source is not None:
        computer.seat(0, [0])
        check.check(source, weights, first, card, computer.first_of)
    return computer


def restore(saved: Copy, config: PretrainedConfig, max_context: int) -> CudaComputer:
    """From what CudaComputer.saved returned. Raises torch.OutOfMemoryError."""
    assert isinstance(saved, PinnedCopy), "a card keeps pinned copies"
    return assemble(saved.restored(), config, max_context)


def room() -> int:
    """Bytes of the card that this process may still take."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    own = torch.cuda.memory_allocated()
    return min(free, int(total * torch.cuda.get_per_process_memory_fraction()) - own)


def pages_for(weights: Weights, max_context: int) -> int:
    """How many pages the cache has: at least a whole context, at most one for every row."""
    most = (room() - RESERVED) * SHARE // page_bytes(weights)
    context = -(-max_context // PAGE)
    return max(context, min(int(most), MOST * context))
