"""The catalogue: Qwen2.5-Instruct from 0.5B to 72B in four precisions, and the embedded demo.

A new checkpoint is one row in SIZES. Knows repositories, licences and shapes; looks at no disk
beyond the embedded demo, and downloads nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from qwen_webui.checkpoints.folders import describe_folder
from qwen_webui.errors import CheckpointError
from qwen_webui.types import PRECISIONS, CheckpointSpec, ModelShape, Precision

log = logging.getLogger(__name__)

GROUP = 128
APACHE = "Apache-2.0"
RESEARCH = "Qwen Research License"
QWEN = "Qwen License"

REPOSITORY_SUFFIX: dict[Precision, str] = {
    "fp16": "",
    "gptq-int8": "-GPTQ-Int8",
    "gptq-int4": "-GPTQ-Int4",
    "awq-int4": "-AWQ",
}
TITLES: dict[Precision, str] = {
    "fp16": "16 bit",
    "gptq-int8": "GPTQ-Int8",
    "gptq-int4": "GPTQ-Int4",
    "awq-int4": "AWQ-Int4",
}
_NOTICES = {
    RESEARCH: "it may be used for research and other non-commercial purposes only",
    QWEN: "services with more than 100 million monthly users need a licence from Alibaba Cloud",
}


@dataclass(frozen=True)
class Size:
    """One size of Qwen2.5: its shape (from the published config.json) and licence."""

    name: str
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    intermediate: int
    vocabulary: int
    tied: bool
    licence: str = APACHE

    @property
    def shape(self) -> ModelShape:
        return ModelShape(
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_size=self.hidden // self.heads,
            hidden=self.hidden,
            intermediate=self.intermediate,
            vocabulary=self.vocabulary,
            tied_embeddings=self.tied,
            context_length=32_768,
        )


SIZES = (
    Size("0.5B", 24, 14, 2, 896, 4_864, 151_936, True),
    Size("1.5B", 28, 12, 2, 1_536, 8_960, 151_936, True),
    Size("3B", 36, 16, 2, 2_048, 11_008, 151_936, True, RESEARCH),
    Size("7B", 28, 28, 4, 3_584, 18_944, 152_064, False),
    Size("14B", 48, 40, 8, 5_120, 13_824, 152_064, False),
    Size("32B", 64, 40, 8, 5_120, 27_648, 152_064, False),
    Size("72B", 80, 64, 8, 8_192, 29_568, 152_064, False, QWEN),
)


def weights_bytes(shape: ModelShape, precision: Precision) -> int:
    """Bytes of all tensors, computed from the shape.

    16 bit: every weight, the biases of query, key and value, and the norms. Quantised: the seven
    projections of a layer in 8 or 4 bits, with one 16-bit scale and one zero point a group of 128
    and, for GPTQ, an int32 group index an input; the rest stays 16 bit. Exact for 16 bit; for
    official quantised files, which may carry extra zero biases, within 1 %. The true figure
    replaces it once the files are here.
    """
    kv = shape.kv_heads * shape.head_size
    queries = shape.heads * shape.head_size
    projections = (
        [(shape.hidden, queries), (queries, shape.hidden)]
        + [(shape.hidden, kv)] * 2
        + [(shape.hidden, shape.intermediate)] * 2
        + [(shape.intermediate, shape.hidden)]
    )
    biases_and_norms = 2 * (queries + 2 * kv + 2 * shape.hidden)
    layer = biases_and_norms + sum(_matrix_bytes(i, o, precision) for i, o in projections)
    embeddings = (1 if shape.tied_embeddings else 2) * 2 * shape.vocabulary * shape.hidden
    return shape.layers * layer + embeddings + 2 * shape.hidden


def _matrix_bytes(inputs: int, outputs: int, precision: Precision) -> int:
    if precision == "fp16":
        return 2 * inputs * outputs
    bits = 8 if precision == "gptq-int8" else 4
    groups = -(-inputs // GROUP)
    packed = (inputs + groups) * outputs * bits // 8
    index = 0 if precision == "awq-int4" else 4 * inputs
    return packed + 2 * groups * outputs + index


def qwen_spec(size: Size, precision: Precision) -> CheckpointSpec:
    """The official Instruct checkpoint of a size in a precision."""
    suffix = "" if precision == "fp16" else f"-{precision}"
    return CheckpointSpec(
        name=f"qwen2.5-{size.name.lower()}-instruct{suffix}",
        title=f"Qwen2.5-{size.name}-Instruct {TITLES[precision]}",
        family="qwen2.5",
        size=size.name,
        precision=precision,
        licence=size.licence,
        weights_bytes=weights_bytes(size.shape, precision),
        shape=size.shape,
        hub_id=f"Qwen/Qwen2.5-{size.name}-Instruct{REPOSITORY_SUFFIX[precision]}",
    )


def demo_folder() -> Path:
    """Where the embedded checkpoints lie."""
    return Path(__file__).parent.parent / "demo"


def demo_specs(folder: Path) -> tuple[CheckpointSpec, ...]:
    """The embedded checkpoints that are there, described from their own files."""
    found = []
    for name in (f"demo-{precision}" for precision in PRECISIONS):
        if not (folder / name / "config.json").is_file():
            continue
        try:
            found.append(describe_folder(folder / name, name, embedded=True))
        except CheckpointError as error:
            # The others can still be served.
            log.error("the embedded checkpoint %s is left out: %s", name, error.message)
    return tuple(found)


def catalogue(demo: Path | None = None) -> tuple[CheckpointSpec, ...]:
    """Every checkpoint known by name: the embedded ones first, then Qwen2.5 by size."""
    return demo_specs(demo or demo_folder()) + tuple(
        qwen_spec(size, precision) for size in SIZES for precision in PRECISIONS
    )


def licence_notice(spec: CheckpointSpec) -> str | None:
    """What to say before a download whose licence is not Apache-2.0; else None."""
    terms = _NOTICES.get(spec.licence)
    if terms is None:
        return None
    return (
        f"{spec.title} is under the {spec.licence}, not under Apache-2.0: {terms}. "
        "Read the LICENSE file of its repository before you use it."
    )
