"""The same prompts through several checkpoints, side by side: what was asked and what came out."""

from qwen_webui.comparison.comparisons import Comparisons
from qwen_webui.comparison.differences import Change, changes
from qwen_webui.comparison.export import as_csv, as_json, as_markdown
from qwen_webui.comparison.fidelity import fidelity_of
from qwen_webui.comparison.values import (
    Answer,
    Column,
    ColumnState,
    Comparison,
    ComparisonState,
    Difference,
    Prompt,
    Wanted,
)

__all__ = [
    "Answer",
    "Change",
    "Column",
    "ColumnState",
    "Comparison",
    "ComparisonState",
    "Comparisons",
    "Difference",
    "Prompt",
    "Wanted",
    "as_csv",
    "as_json",
    "as_markdown",
    "changes",
    "fidelity_of",
]
