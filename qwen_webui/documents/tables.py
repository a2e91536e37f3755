"""Rows of cells to a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose header is the first row; empty for no values.

    Ragged rows are filled; empty rows and columns are left out.
    """
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    # Columns without a single value say nothing; sheets often have thousands of them.
    columns = sorted({place for row in kept for place, cell in enumerate(row) if cell.strip()})
    if not columns:
        return ""
    lines = [_line([row[place] if place < len(row) else "" for place in columns]) for row in kept]
    return "\n".join([lines[0], "|" + " --- |" * len(columns), *lines[1:]])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
