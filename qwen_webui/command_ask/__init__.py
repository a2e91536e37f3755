"""`qwen-webui ask FILE... QUESTION`: documents asked on the command line, here or by a server.

Nothing of a file is kept afterwards: here it is only held in memory, and what was uploaded to a
server is deleted again.
"""

from qwen_webui.command_ask.here import ask_here
from qwen_webui.command_ask.question import FileQuestion
from qwen_webui.command_ask.server import ask_server

__all__ = ["FileQuestion", "ask_here", "ask_server"]
