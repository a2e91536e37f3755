"""How far a quantised checkpoint is from the unquantised one: on the same text, and at tasks.

This page names what reads a finished report; it loads the standard library only. `measurement.py`
measures.
"""

from qwen_webui.measure.fidelity.report import (
    FidelityReport,
    FidelityRow,
    Figure,
    SkillRow,
    Surroundings,
    load_report,
)

__all__ = [
    "FidelityReport",
    "FidelityRow",
    "Figure",
    "SkillRow",
    "Surroundings",
    "load_report",
]
