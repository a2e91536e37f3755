"""Which size and precision of Qwen2.5 for this machine and use, how fast it will be, and why."""

from qwen_webui.advice.advise import advise, command_line, usual_context
from qwen_webui.advice.machine import imagined, machine_of, server_machine, this_machine
from qwen_webui.advice.values import Advice, Machine, Option, RunnerUp, Said, Text

__all__ = [
    "Advice",
    "Machine",
    "Option",
    "RunnerUp",
    "Said",
    "Text",
    "advise",
    "command_line",
    "imagined",
    "machine_of",
    "server_machine",
    "this_machine",
    "usual_context",
]
