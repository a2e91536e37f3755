"""The machine while the program runs: once a second a sample, for an hour, and a warning in time.

Reads the driver and the system; changes nothing and computes nothing on the card.
"""

from qwen_webui.measure.monitor.history import HOUR, History, Series
from qwen_webui.measure.monitor.metrics import CONTENT_TYPE, metrics_text
from qwen_webui.measure.monitor.monitor import Monitor
from qwen_webui.measure.monitor.values import Program, Sample
from qwen_webui.measure.monitor.warning import MemoryWarning

__all__ = [
    "CONTENT_TYPE",
    "HOUR",
    "History",
    "MemoryWarning",
    "Monitor",
    "Program",
    "Sample",
    "Series",
    "metrics_text",
]
