"""`qwen-webui advise`: which size and precision for this machine, or for one that is named.

Decides nothing itself and loads nothing; the answer is advice/'s.
"""

from qwen_webui.command_advise.run import Question, advise_here

__all__ = ["Question", "advise_here"]
