"""What the machine is: cards of a driver that a test plays, MIG, and machines only named."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from qwen_webui.advice import advise, imagined, this_machine
from qwen_webui.cards import list_cards
from qwen_webui.checkpoints import catalogue
from qwen_webui.errors import InvalidRequest

GIB = 2**30


class Driver:
    """NVML with cards of these GiB; `split` is in MIG mode; `unreadable` gives no memory."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *cards: int,
        split: bool = False,
        unreadable: bool = False,
    ) -> None:
        def info(index: int) -> SimpleNamespace:
            if unreadable:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
            return SimpleNamespace(free=(cards[index] - 1) * GIB, total=cards[index] * GIB)

        def mode(index: int) -> tuple[int, int]:
            if not split:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return (pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE)

        played = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(cards),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda index: f"NVIDIA Card {cards[index]}",
            "nvmlDeviceGetUUID": lambda index: f"GPU-{index}",
            "nvmlDeviceGetMemoryInfo": info,
            "nvmlDeviceGetMigMode": mode,
        }
        for name, play in played.items():
            monkeypatch.setattr(pynvml, name, play)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_every_card_in_cudas_order(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, 8, 24)
    assert [(c.name, c.total, c.free) for c in list_cards()] == [
        ("NVIDIA Card 8", 8 * GIB, 7 * GIB),
        ("NVIDIA Card 24", 24 * GIB, 23 * GIB),
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 0")
    assert [card.uuid for card in list_cards()] == ["GPU-1", "GPU-0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,7,0")
    assert [card.uuid for card in list_cards()] == ["GPU-1"]  # CUDA stops at the first wrong one
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert list_cards() == ()


def test_two_24_gib_cards_are_advised_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, 24, 24)
    advice = advise(catalogue(), this_machine("auto"), "documents")
    # 23 GiB free: 14B Int8 needs 18.6 and 5 %; of 46 GiB 32B Int8 (36.9) would have been had.
    assert advice.choice is not None
    assert (advice.choice.spec.size, advice.choice.spec.precision) == ("14B", "gptq-int8")
    assert advice.machine.name == "NVIDIA Card 24" and len(advice.machine.cards) == 2
    assert any("Of 2 cards this program uses one" in one.text.en for one in advice.warnings)
    assert advice.choice.speed.kind == "unknown"


def test_the_first_card_counts_and_the_roomier_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, 9, 24)
    advice = advise(catalogue(), this_machine("auto"), "chat", 2_048)
    assert advice.choice is not None and advice.choice.spec.size == "7B"
    assert any("CUDA_VISIBLE_DEVICES=GPU-1" in one.text.en for one in advice.warnings)


def test_a_split_card_is_a_sentence_and_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, 80, split=True)
    advice = advise(catalogue(), this_machine("auto"))
    assert advice.choice is None and advice.missing is not None
    assert "split by MIG" in advice.missing.en and "MIG" in advice.missing.zh


def test_unknown_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, 24, unreadable=True)
    advice = advise(catalogue(), this_machine("auto"))
    assert advice.choice is None and advice.missing is not None
    assert "its memory cannot be read" in advice.missing.en and "显存" in advice.missing.zh
    assert advise(catalogue(), this_machine("cpu")).machine.device == "cpu"


@pytest.mark.parametrize(
    ("memory", "cards", "param"),
    [(None, 2, "memory"), (0.0, 1, "memory"), (1e9, 1, "memory"), (8.0, -1, "cards")],
)
def test_a_machine_that_cannot_be_is_refused(memory: float | None, cards: int, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        imagined(memory, cards)
    assert refusal.value.param == param


def test_a_named_machine() -> None:
    machine = imagined(24, None, "RTX 4090")
    assert (machine.device, len(machine.cards), machine.assumed) == ("cuda", 1, True)
    assert machine.free == round(0.95 * 24 * GIB) and machine.total == 24 * GIB
    none = imagined(16, 0)
    assert (none.device, none.cards, none.free) == ("cpu", (), 12 * GIB)
