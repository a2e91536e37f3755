"""`qwen-webui fidelity`: what each precision loses against the unquantised checkpoint."""

from qwen_webui.command_fidelity.measuring import measure_here
from qwen_webui.command_fidelity.question import FidelityQuestion

__all__ = ["FidelityQuestion", "measure_here"]
