"""The tables of a report as rows of texts, for the console and for Markdown. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qwen_webui.measure.speed.definitions import BF16, GUIDE, OTHERS, TRANSFORMERS, VLLM
from qwen_webui.measure.speed.report import Answers, SpeedReport, SpeedRow, Spread
from qwen_webui.types import PRECISIONS

GIB, MIB = 1 << 30, 1 << 20


@dataclass(frozen=True)
class Table:
    """A title, the head of each column, and rows as long as the head."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def plain(self) -> Iterator[str]:
        """Columns of equal width."""
        every = [self.head, *self.rows]
        widths = [max(len(row[at]) for row in every) for at in range(len(self.head))]
        yield self.title
        for row in every:
            cells = zip(row, widths, strict=True)
            yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()

    def markdown(self) -> Iterator[str]:
        """With the title as a heading."""
        yield from (f"## {self.title}", "")
        for row in (self.head, ("---",) * len(self.head), *self.rows):
            yield f"| {' | '.join(row)} |"


def measured(report: SpeedReport) -> tuple[Table, Table]:
    """Checkpoints; answers."""
    checkpoints = Table(
        "Checkpoints",
        ("precision", "kernel", "computed in", "weights", "KV cache", "a token of it", "peak",
         "load, s", "start, s", "swap, s"),
        tuple(map(_checkpoint, report.rows)),
    )  # fmt: skip
    answers = Table(
        "Answers",
        ("precision", "in", "out", "at once", "first token, ms", "tokens/s", "decode tokens/s",
         "in all tokens/s", "GB a token", "limit tokens/s", "share, %"),
        tuple(_answers(row, one) for row in report.rows for one in row.answers),
    )  # fmt: skip
    return checkpoints, answers


def others() -> tuple[Table, ...]:
    """One table a source, in which nothing is ours."""
    found = []
    for source, what in ((TRANSFORMERS, "tokens/s (GB)"), (VLLM, "tokens/s")):
        own = {(o.input_tokens, o.precision): o for o in OTHERS if o.source == source}
        rows = []
        for tokens in sorted({o.input_tokens or 0 for o in own.values()}):
            cells = [own[tokens, name] for name in PRECISIONS]
            rows.append(
                (
                    str(tokens),
                    *(
                        f"{one.tokens_per_second:.2f}"
                        + (f" ({one.memory_gb:.2f})" if one.memory_gb else "")
                        for one in cells
                    ),
                )
            )
        title = f"Others, {what}: {source}; {BF16}"
        found.append(Table(title, ("in", *PRECISIONS), tuple(rows)))
    guide = tuple(
        (o.precision, f"{o.tokens_per_second:g}", f"{o.memory_gb:g}", f"{o.first_token_ms:g}")
        for o in OTHERS
        if o.source == GUIDE
    )
    head = ("precision", "tokens/s", "GB", "first token, ms")
    return (*found, Table(f"Others: {GUIDE}", head, guide))


def errors(report: SpeedReport) -> Iterator[str]:
    """A line each."""
    for row in report.rows:
        if row.error:
            yield f"{row.checkpoint}: {row.error}"
        for one in row.answers:
            if one.error:
                yield (
                    f"{row.checkpoint}, {one.input_tokens} in, {one.output_tokens} out, "
                    f"{one.at_once} at once: {one.error}"
                )


def remarks(report: SpeedReport) -> Iterator[str]:
    """What has to be known of the figures."""
    if report.copy_rate is not None:
        yield f"The memory copies {report.copy_rate / 1e9:.1f} GB/s, read and written."
    yield from report.clipped
    held = [row.precision for row in report.rows if row.stops_held_back]
    if held:
        yield f"Ids that end an answer were held back: {', '.join(held)}."
    if not report.complete:
        yield "The measurement was stopped; what was not reached is missing."


def _checkpoint(row: SpeedRow) -> tuple[str, ...]:
    return (
        row.precision,
        row.kernel or "-",
        row.dtype or "-",
        *map(_size, (row.weights_bytes, row.cache_bytes, row.kv_bytes_per_token, row.peak_bytes)),
        *map(_seconds, (row.load_seconds, row.start_seconds, row.swap_seconds)),
    )


def _answers(row: SpeedRow, one: Answers) -> tuple[str, ...]:
    return (
        row.precision,
        str(one.input_tokens),
        str(one.output_tokens),
        str(one.at_once),
        _spread(one.first_token, 1e3),
        *map(_spread, (one.whole, one.decode, one.together)),
        f"{one.bytes_per_token / 1e9:.3f}" if one.bytes_per_token is not None else "-",
        f"{one.limit:.1f}" if one.limit is not None else "-",
        f"{100 * one.share:.1f}" if one.share is not None else "-",
    )


def _spread(value: Spread | None, scale: float = 1.0) -> str:
    if value is None:
        return "-"
    median, low, high = (f"{scale * v:.1f}" for v in (value.median, value.low, value.high))
    return f"{median} [{low}, {high}]" if value.n > 1 else median


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    if count >= GIB:
        return f"{count / GIB:.2f} GiB"
    return f"{count / MIB:.1f} MiB" if count >= MIB else f"{count / 1024:g} KiB"


def _seconds(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else "-"


def lines(tables: Sequence[Table]) -> Iterator[str]:
    """For the console, an empty line after each."""
    for table in tables:
        yield from table.plain()
        yield ""
