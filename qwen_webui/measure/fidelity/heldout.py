"""The tasks and the text for a checkpoint: those of the embedded one, or plainer ones for others.

The embedded checkpoint knows the sentences of its generator and no others: on prose its
perplexity is above that of guessing, and a divergence there says little. So it reads conversations
of its own held-out tasks. Its quantised forms were calibrated on some of them; those are left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from qwen_webui.measure.fidelity.tasks import Task, chosen, read_tasks
from qwen_webui.measure.fidelity.texts import Text, own_texts

# What `quantize` draws by default from the shipped tasks, of which it takes the first so many.
_CALIBRATION_SEED, _CALIBRATION_SAMPLES = 0, 128
_DATA = Path(__file__).parent / "data"


def tasks_for(family: str, shipped: Path) -> tuple[list[Task], str]:
    """All there are, and what they are; `shipped` is the file of the embedded checkpoint."""
    if family == "demo":
        return unseen(list(read_tasks(shipped))), (
            "the embedded checkpoint's held-out tasks that its calibration did not see"
        )
    return list(read_tasks(_DATA / "tasks.jsonl")), "the program's own small set for Qwen2.5"


def texts_for(family: str, tasks: Sequence[Task]) -> tuple[Text, ...]:
    """What is read where the user gives no text."""
    if family != "demo":
        return own_texts()
    parts = ("\n".join([*_said(task), task.answer]) for task in chosen(tasks, len(tasks)))
    return (Text("held-out conversations", "\n\n".join(parts)),)


def unseen(tasks: Sequence[Task]) -> list[Task]:
    """Without those that the embedded checkpoint's calibration drew."""
    order = list(range(len(tasks)))
    random.Random(_CALIBRATION_SEED).shuffle(order)
    return [tasks[place] for place in sorted(order[_CALIBRATION_SAMPLES:])]


def _said(task: Task) -> list[str]:
    return [message["content"] for message in task.messages if message.get("content")]
