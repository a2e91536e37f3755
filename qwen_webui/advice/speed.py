"""How fast a checkpoint will answer: an estimate from what a step must read. Measures nothing.

    tokens/s = published memory bandwidth of the card x share / bytes read a token

The share is what this program reached of an H200's published bandwidth with 7B in the same
precision, one request with 30 tokens of prompt (docs/log.md, `python benchmarks/decode.py --device
cuda`). That card's kernels are the only ones ever timed; on a slower memory the shares of the
quantised precisions are likely higher. Cards older than compute capability 8.0 are not in the
table: they take another path, which nobody has timed there.
"""

from __future__ import annotations

from collections.abc import Mapping

from qwen_webui.advice.rules import bytes_per_token
from qwen_webui.advice.values import Machine, Said, Speed, Text
from qwen_webui.checkpoints.catalogue import SIZES, qwen_spec
from qwen_webui.types import CheckpointSpec, Precision

GB = 1e9
PUBLISHED = Text("NVIDIA's product pages and data sheets", "NVIDIA 产品页面与数据手册")
IN_LOG = "The whole table in one run"
LOG = Text(f"docs/log.md, {IN_LOG}", f"docs/log.md，{IN_LOG} 一节")
STANDARD = Text("JEDEC DDR4-3200", "JEDEC DDR4-3200")
REFERENCE, REFERENCE_SIZE = "H200", "7B"
# Tokens a second on one H200, Qwen2.5-7B shapes, batch 1, 30 tokens of prompt. Source: LOG.
REACHED: dict[Precision, float] = {
    "fp16": 267,
    "gptq-int8": 430,
    "gptq-int4": 538,
    "awq-int4": 542,
}
# Peak of two channels of DDR4-3200, 2 x 8 bytes x 3.2 GHz: a usual desktop.
DESKTOP_BANDWIDTH = 51.2
# GB/s by a part of the driver's name for the card; the longest part that fits counts. Where a name
# stands for several memories (3060, 3080), the first that was sold. Source: PUBLISHED.
BANDWIDTHS: dict[str, float] = {
    "RTX 5090": 1792,
    "RTX 5080": 960,
    "RTX 5070 Ti": 896,
    "RTX 5070": 672,
    "RTX 5060 Ti": 448,
    "RTX 5060": 448,
    "RTX 4090": 1008,
    "RTX 4080 SUPER": 736,
    "RTX 4080": 716.8,
    "RTX 4070 Ti SUPER": 672,
    "RTX 4070 Ti": 504,
    "RTX 4070 SUPER": 504,
    "RTX 4070": 504,
    "RTX 4060 Ti": 288,
    "RTX 4060": 272,
    "RTX 3090 Ti": 1008,
    "RTX 3090": 936,
    "RTX 3080 Ti": 912,
    "RTX 3080": 760,
    "RTX 3070 Ti": 608,
    "RTX 3070": 448,
    "RTX 3060 Ti": 448,
    "RTX 3060": 360,
    "RTX 6000 Ada": 960,
    "RTX A6000": 768,
    "RTX A5000": 768,
    "RTX A4000": 448,
    "A10": 600,
    "A40": 696,
    "A100-PCIE-40GB": 1555,
    "A100-SXM4-40GB": 1555,
    "A100-PCIE-80GB": 1935,
    "A100 80GB PCIe": 1935,
    "A100-SXM4-80GB": 2039,
    "L4": 300,
    "L40": 864,
    "L40S": 864,
    "H100 PCIe": 2000,
    "H100 80GB HBM3": 3350,
    "H200": 4800,
}


def bandwidth_of(name: str) -> float | None:
    """Published GB/s of the card of this name; None when the table has not this very one."""
    words = name.lower().replace("(", " ").replace(")", " ").split()
    if "laptop" in words or "max-q" in words or "mobile" in words:
        return None  # other memories under the same numbers
    best = max((part for part in BANDWIDTHS if _stands_in(part, words)), key=len, default=None)
    return None if best is None else BANDWIDTHS[best]


def _stands_in(part: str, words: list[str]) -> bool:
    wanted = part.lower().split()
    places = range(len(words) - len(wanted) + 1)
    return any(words[i : i + len(wanted)] == wanted for i in places)


def share_of(precision: Precision) -> float:
    """What was reached of the H200's published bandwidth."""
    size = next(size for size in SIZES if size.name == REFERENCE_SIZE)
    read = bytes_per_token(qwen_spec(size, precision)) * REACHED[precision]
    return read / (BANDWIDTHS[REFERENCE] * GB)


def expected_speed(
    spec: CheckpointSpec, machine: Machine, measured: Mapping[str, float] | None = None
) -> Speed:
    """For one request with a short prompt. `measured`: tokens a second by checkpoint's name, from
    this machine's own reports; they win."""
    own = (measured or {}).get(spec.name)
    if own is not None and not machine.assumed:
        text = Text("Measured on this machine.", "在这台机器上实测。")
        return Speed(own, "measured", Said(text))
    if machine.device == "cpu":
        return _limit(spec)
    return _estimate(spec, machine.name)


def _limit(spec: CheckpointSpec) -> Speed:
    gb = bytes_per_token(spec) / GB
    text = Text(
        f"At most, not an estimate: each token reads {gb:.1f} GB, and two channels of DDR4-3200, "
        f"a usual desktop, give {DESKTOP_BANDWIDTH} GB/s; this machine's own memory speed is not "
        "known.",
        f"这是上限而非估计：每个词元要读取 {gb:.1f} GB，常见台式机的双通道 DDR4-3200 为 "
        f"{DESKTOP_BANDWIDTH} GB/s；本机内存的实际速度未知。",
    )
    return Speed(DESKTOP_BANDWIDTH / gb, "limit", Said(text, (STANDARD,)))


def _estimate(spec: CheckpointSpec, name: str) -> Speed:
    bandwidth = bandwidth_of(name)
    if bandwidth is None:
        label = name or "this card"
        text = Text(
            f"Not estimated: the memory bandwidth of {label} is not in the table.",
            f"无法估计：表中没有{name or '这块显卡'}的显存带宽。",
        )
        return Speed(None, "unknown", Said(text, (PUBLISHED,)))
    share, gb = share_of(spec.precision), bytes_per_token(spec) / GB
    text = Text(
        f"An estimate: {bandwidth:g} GB/s as published for {name}, {gb:.1f} GB read a token, and "
        f"the {share:.0%} that this program reached of an {REFERENCE}'s bandwidth with "
        f"{REFERENCE_SIZE} in this precision.",
        f"估计值：{name} 的公布带宽为 {bandwidth:g} GB/s，每个词元读取 {gb:.1f} GB，并按本程序在 "
        f"{REFERENCE} 上以相同精度运行 {REFERENCE_SIZE} 时达到的带宽比例 {share:.0%} 推算。",
    )
    return Speed(bandwidth * share / gb, "estimate", Said(text, (PUBLISHED, LOG)))
