"""`qwen-webui bench`: how fast each precision answers on this machine, and what it takes."""

from qwen_webui.command_bench.measuring import measure_here
from qwen_webui.command_bench.question import BenchQuestion

__all__ = ["BenchQuestion", "measure_here"]
