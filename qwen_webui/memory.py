"""What a checkpoint will take, and what this machine has: bytes in, bytes out, no torch.

A card is computed for by our own path (engines/decode/cuda): beside weights and KV cache it holds
one piece of a prompt (5 times the width of a layer), packed weights spread to 16 bits a product at
a time, logits and what they are drawn by, and what driver, libraries and kernels take. That last
constant was fitted to the peaks that `benchmarks/memory.py --device cuda` measures on 7B shapes in
all precisions. Where more is free, a load takes more: a larger cache for others who ask, and larger
pieces. transformers' generate() takes more for long prompts; Qwen's documentation publishes how
much (branch v2.5, speed benchmark).

A CPU is computed for in pieces of 256 tokens, by our own path, in float32 up to 1e9 parameters and
in bfloat16 above. Its constants were fitted to the peaks that benchmarks/memory.py measures on 0.5B
shapes in all precisions; `--engine-path reference` takes more for packed weights, and is not
forecast. Packed weights that no operator multiplies there become floats: `packs_on_cpu` is the
rule, and the worker loads by it. Nothing is measured by this module: it forecasts before a load,
the worker measures after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import psutil

from qwen_webui.cards import list_cards
from qwen_webui.errors import DeviceUnusable, SettingsError
from qwen_webui.types import (
    CheckpointSpec,
    Device,
    MemoryForecast,
    MemoryUse,
    ModelShape,
    Precision,
)

GIB = 2**30
MIB = 2**20
DEFAULT_CONTEXT = 8_192
STEP = 256
YARN_FACTOR = 4

# The driver's context, libraries and their workspaces, kernels and graphs of all batch sizes.
CUDA_PROCESS = 1_350 * MIB
# Tokens of a prompt that are computed at once where room is scarce, and rows of a step.
CUDA_PIECE, CUDA_ROWS = 2_048, 32
# On a CPU: bytes a prompt's token takes in 16 bits, fitted at 7B, and what grows with a model.
PREFILL_BYTES_7B = 0.130 * MIB
WIDTH_7B = 3_584 + 18_944
BASE_OVERHEAD = round(0.23 * GIB)
# The worker's own code and libraries, resident on a machine without a card.
CPU_PROCESS = GIB // 2
# Above this many parameters float32 on a CPU would cost memory and time that people notice.
FLOAT32_PARAMETERS = 1_000_000_000
PACKED_BITS: dict[Precision, int] = {"gptq-int8": 8, "gptq-int4": 4, "awq-int4": 4}
# What PyTorch's operators for packed weights on a CPU take: 4 bits in groups of these inputs and
# rows by so many, 8 bits in any group (they are rescaled by rows) and inputs by so many.
CPU_GROUPS = (32, 64, 128, 256)
CPU_INT4_ROWS, CPU_INT8_INPUTS = 32, 16
# While a layer is read: bytes for each weight of its largest product, which are several copies.
# One that is unpacked and held in full is there as parts, as one, as floats and as these laid out.
CPU_READING_PACKED, CPU_READING_UNPACKED, CPU_READING_DENSE = 8, 11, 5
# Tokens of a prompt that are computed at once there.
CPU_PIECE = 256


def kv_bytes(shape: ModelShape, context: int, element_bytes: int = 2) -> int:
    """Bytes of KV cache for `context` tokens."""
    return shape.kv_elements_per_token * context * element_bytes


def forecast(
    spec: CheckpointSpec, *, context: int, device: Device, free: int, total: int
) -> MemoryForecast:
    """What `spec` will take at its peak with `context` tokens, all of them prompt. Bytes."""
    shape = spec.shape
    on_cpu = device == "cpu"
    width = 4 if on_cpu and shape.parameters <= FLOAT32_PARAMETERS else 2
    most = _most_on_cpu(spec, context, width) if on_cpu else _most_on_card(spec, context)
    overhead = CPU_PROCESS + BASE_OVERHEAD if on_cpu else CUDA_PROCESS
    if on_cpu and spec.family == "demo":
        # The share that grows with a model: a few megabytes of weights need none of it.
        overhead -= BASE_OVERHEAD
    if spec.family == "external":
        overhead = 0  # another computer's, or another program's: nothing is taken here
    return MemoryForecast(
        weights=_weights_on_cpu(spec, width) if on_cpu else spec.weights_bytes,
        kv_cache=kv_bytes(shape, context, width),
        activations=most,
        overhead=overhead,
        context=context,
        free=free,
        total=total,
        device=device,
    )


def packs_on_cpu(bits: int, rows: int, inputs: int, group: int) -> bool:
    """Whether a product of packed weights [rows, inputs], `group` inputs to a scale, is multiplied
    as it is on a CPU; others are held there as floats."""
    if bits == 8:
        return inputs % CPU_INT8_INPUTS == 0
    return bits == 4 and group in CPU_GROUPS and rows % CPU_INT4_ROWS == 0


def _weights_on_cpu(spec: CheckpointSpec, width: int) -> int:
    """Bytes as loaded: tables and floats in `width` bytes, packed products as they are held."""
    # Nothing is there of another program's, and nothing known of what is to be downloaded first.
    if spec.precision == "fp16" or not spec.weights_bytes:
        return spec.weights_bytes * width // 2
    bits, shape = PACKED_BITS[spec.precision], spec.shape
    tables = (1 if shape.tied_embeddings else 2) * shape.vocabulary * shape.hidden
    held = stored = 0
    for rows, inputs, parts in _products(shape):
        group, groups = _groups(inputs, spec.group_size)
        stored += rows * inputs * bits // 8 + groups * rows * (16 + bits) // 8
        # GPTQ names the group of each input, which nobody keeps.
        stored += 0 if spec.precision == "awq-int4" else 4 * inputs * parts
        if not packs_on_cpu(bits, rows, inputs, group):
            held += rows * inputs * width
        elif bits == 8:
            held += rows * inputs + 2 * rows
        else:
            # Scale and offset of each group in 16 bits.
            held += rows * inputs // 2 + 4 * groups * rows
    # What the files hold beside: norms, biases, and products that were left in 16 bits.
    more = max(0, spec.weights_bytes - shape.layers * stored - 2 * tables)
    return shape.layers * held + tables * width + more * width // 2


def _products(shape: ModelShape) -> tuple[tuple[int, int, int], ...]:
    """Rows and inputs of what is multiplied in one layer, products of one input as one, and of how
    many parts each is in the files."""
    queries = shape.heads * shape.head_size
    return (
        (queries + 2 * shape.kv_heads * shape.head_size, shape.hidden, 3),
        (shape.hidden, queries, 1),
        (2 * shape.intermediate, shape.hidden, 2),
        (shape.hidden, shape.intermediate, 1),
    )


def _groups(inputs: int, size: int) -> tuple[int, int]:
    """Inputs that share a scale, and how many scales a row has; more than a row is one row."""
    count = max(1, -(-inputs // size)) if size > 0 else 1
    return inputs // count, count


def _reading_on_cpu(spec: CheckpointSpec) -> int:
    """Bytes for each weight of the largest product of a layer while it is read."""
    if spec.precision == "fp16":
        return CPU_READING_DENSE
    rows, inputs = 2 * spec.shape.intermediate, spec.shape.hidden
    group, _ = _groups(inputs, spec.group_size)
    packs = packs_on_cpu(PACKED_BITS[spec.precision], rows, inputs, group)
    return CPU_READING_PACKED if packs else CPU_READING_UNPACKED


def _most_on_card(spec: CheckpointSpec, context: int) -> int:
    """Bytes beside weights and cache: see the module's text."""
    shape = spec.shape
    piece = min(context, CUDA_PIECE) * 2 * (3 * shape.intermediate + 2 * shape.hidden)
    spread = 0 if spec.precision == "fp16" else 2 * 2 * shape.intermediate * shape.hidden
    # Logits of steps and of prompts, scores to draw from, counts of what was said.
    rows = 4 * CUDA_ROWS * shape.vocabulary * 4
    return piece + spread + rows


def _most_on_cpu(spec: CheckpointSpec, context: int, width: int) -> int:
    """Bytes beside weights and cache: one piece of a prompt with its attention to all before it,
    or one layer while it is read, whichever is more."""
    shape, piece = spec.shape, min(context, CPU_PIECE)
    prefill = PREFILL_BYTES_7B * (shape.hidden + shape.intermediate) / WIDTH_7B * width / 2
    attention = width * shape.heads * piece * context
    reading = _reading_on_cpu(spec) * 2 * shape.hidden * shape.intermediate
    return max(round(prefill * piece) + attention, reading)


def default_context(
    spec: CheckpointSpec, *, free: int, total: int, device: Device, wanted: int | None
) -> int:
    """Tokens of context to load with: `wanted`, else the smaller of 8,192 and what fits.

    At least one step of 256, so that the forecast can say by how much a model does not fit.
    Raises SettingsError for a `wanted` that the model cannot be stretched to.
    """
    own = spec.shape.context_length
    if wanted is not None:
        longest = own * YARN_FACTOR if spec.family in ("qwen2.5", "local") else own
        if wanted > longest:
            raise SettingsError(
                f"A context of {wanted:,} tokens is more than {spec.title} can have: {own:,} as "
                f"trained, at most {longest:,}. Set --max-context to {longest} or less.",
                param="max_context",
            )
        return wanted
    if spec.family == "external":
        return own  # what the other server has
    context = min(DEFAULT_CONTEXT, own)
    while (
        context > STEP
        and not forecast(spec, context=context, device=device, free=free, total=total).fits
    ):
        context -= STEP
    return max(context, min(STEP, own))


def usual_forecast(spec: CheckpointSpec, room: MemoryUse, wanted: int | None) -> MemoryForecast:
    """What `spec` would take in `room`, at the context it would be loaded with; at its own usual
    one where `wanted` is more than it can have: a list goes on over what cannot be loaded."""
    try:
        return forecast_in(spec, room, wanted)
    except SettingsError:
        return forecast_in(spec, room, None)


def forecast_in(spec: CheckpointSpec, room: MemoryUse, wanted: int | None) -> MemoryForecast:
    """As `forecast`, for what is free in `room`. Raises SettingsError as `default_context`."""
    free, total, device = room.free, room.total, room.device
    context = default_context(spec, free=free, total=total, device=device, wanted=wanted)
    return forecast(spec, context=context, device=device, free=free, total=total)


def machine_memory(device: Literal["auto", "cuda", "cpu"]) -> MemoryUse:
    """What the device has, asked of the driver (NVML) or the system; no engine is counted.

    `auto` is the first card the driver shows, else the CPU. Raises DeviceUnusable when a card was
    asked for and there is none, or when one is there whose memory cannot be read.
    """
    if device != "cpu":
        card = _card()
        if card is not None:
            return card
        if device == "cuda":
            raise DeviceUnusable(
                "--device cuda was asked for, but the NVIDIA driver shows no card to this "
                "program. Install the driver, or start with --device cpu."
            )
    system = psutil.virtual_memory()
    limit, used = _container_memory()
    total = min(system.total, limit) if limit else system.total
    free = min(system.available, limit - used) if limit else system.available
    return MemoryUse("cpu", "CPU", 0, max(0, free), total)


def _card() -> MemoryUse | None:
    """The card CUDA would take first, as NVML sees it; None without driver or card."""
    cards = list_cards()
    if not cards:
        return None
    card = cards[0]
    if card.error:
        raise DeviceUnusable(
            f"The NVIDIA driver shows {card.name}, but its memory cannot be read ({card.error}), "
            "so nothing can be said about what fits. Check it with nvidia-smi, or start with "
            "--device cpu."
        )
    return MemoryUse("cuda", card.name, 0, card.free, card.total)


def _container_memory(root: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """Limit and use of this container (cgroup version 2) in bytes; 0, 0 without a limit."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        cache = [
            int(line.split()[1])
            for line in (root / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        ]
    except (OSError, ValueError):
        return 0, 0
    # Pages of files that nobody uses are given back as soon as memory is short.
    return (int(limit), used - sum(cache)) if limit.isdigit() else (0, 0)
