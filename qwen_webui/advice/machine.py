"""What this machine is for the advisor: its device, what of it is free, all its cards.

Only looks: the driver or the system is asked through cards.py and memory.py. A machine that is only
named ("what if") is made here too.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from qwen_webui.advice.rules import GIB, TAKEN_SHARE
from qwen_webui.advice.values import Machine, Text
from qwen_webui.cards import Card, list_cards
from qwen_webui.errors import DeviceUnusable, InvalidRequest
from qwen_webui.memory import machine_memory
from qwen_webui.models import ModelManager
from qwen_webui.types import Device, MemoryUse

LARGEST_GIB = 65_536.0
MOST_CARDS = 64


def this_machine(device: Literal["auto", "cuda", "cpu"]) -> Machine:
    """Looked at now, with nothing loaded by this program. Blocks on the driver."""
    cards = list_cards()
    try:
        room = machine_memory(device)
    except DeviceUnusable as error:
        return _unusable(error, cards)
    return machine_of(room, cards)


async def server_machine(manager: ModelManager) -> Machine:
    """As a running server has it: what the loaded checkpoint would give back counts as free."""
    cards = await asyncio.to_thread(list_cards)
    try:
        room = await manager.room()
    except DeviceUnusable as error:
        return _unusable(error, cards)
    return machine_of(room, cards)


def machine_of(room: MemoryUse, cards: tuple[Card, ...] = ()) -> Machine:
    """From a measured `room`; `cards` in CUDA's order, the first is the one that is used."""
    split = room.device == "cuda" and bool(cards) and cards[0].mig
    problem = None
    if split:
        problem = Text(
            f"{room.device_name} is split by MIG, and what its slice has is not known. Start with "
            "CUDA_VISIBLE_DEVICES set to the slice's id (nvidia-smi -L lists them).",
            f"{room.device_name} 已用 MIG 分割，无法得知所用分片的显存。请将 CUDA_VISIBLE_DEVICES "
            "设为分片的编号后再启动（nvidia-smi -L 可列出）。",
        )
    return Machine(room.device, room.device_name, room.free, room.total, cards, problem=problem)


def imagined(memory: float | None, cards: int | None, name: str = "") -> Machine:
    """A machine with `cards` equal cards of `memory` GiB each, or with no card and that much
    memory. Raises InvalidRequest for what is none."""
    count = 1 if cards is None else cards
    if memory is None:
        raise InvalidRequest(
            "Of a machine that is only named, the memory must be named too, in GiB: of each card, "
            "or of the machine for no card.",
            param="memory",
        )
    if not 0 < memory <= LARGEST_GIB:
        raise InvalidRequest(
            f"A memory of {memory:g} GiB cannot be; give more than 0 and at most "
            f"{LARGEST_GIB:,.0f}.",
            param="memory",
        )
    if not 0 <= count <= MOST_CARDS:
        raise InvalidRequest(
            f"{count} cards cannot be; give 0 for no card, and at most {MOST_CARDS}.",
            param="cards",
        )
    device: Device = "cuda" if count else "cpu"
    total = round(memory * GIB)
    free = round(total * (1 - TAKEN_SHARE[device]))
    label = name if count else "CPU"
    return Machine(device, label, free, total, (Card(label, "", total, free),) * count, True)


def _unusable(error: DeviceUnusable, cards: tuple[Card, ...]) -> Machine:
    name = cards[0].name if cards else ""
    problem = Text(error.message, f"无法得知这台机器的显存：{error.message}")
    return Machine("cuda", name, 0, 0, cards, problem=problem)
