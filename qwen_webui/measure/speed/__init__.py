"""How fast each precision answers on this machine, what memory it takes, and the machine's limit.

This page names what reads a finished report; it loads the standard library only. `measurement.py`
measures.
"""

from qwen_webui.measure.speed.newest import measured_here
from qwen_webui.measure.speed.report import (
    Answers,
    SpeedReport,
    SpeedRow,
    Spread,
    load_report,
)

__all__ = [
    "Answers",
    "SpeedReport",
    "SpeedRow",
    "Spread",
    "load_report",
    "measured_here",
]
