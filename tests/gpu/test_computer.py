"""The computer of a card beside transformers in float32: the embedded checkpoint in every
precision, through prefill and decode, rows in any order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import PretrainedConfig

from qwen_webui.engines.decode.computer import Computer
from qwen_webui.engines.decode.cuda import loading
from qwen_webui.engines.decode.cuda.reading import Readers
from qwen_webui.engines.decode.source import NotForThisPath
from qwen_webui.engines.loading import read_config
from qwen_webui.types import Dtype
from tests.gpu.plain import computer, distance, expected, plan

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
CHECKPOINTS: list[tuple[str, Dtype, float]] = [
    ("demo-fp16", "float16", 6e-3),
    ("demo-fp16", "bfloat16", 5e-2),
    ("demo-gptq-int8", "float16", 6e-3),
    ("demo-gptq-int4", "float16", 6e-3),
    ("demo-awq-int4", "float16", 6e-3),
]
every_precision = pytest.mark.parametrize(("name", "dtype", "most"), CHECKPOINTS)


def tokens(count: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 5000, (count,), generator=generator).tolist()


def seat(own: Computer, row: int, tokens_in_all: int, seed: int) -> None:
    """Pages in no order, others for every row."""
    each = -(-tokens_in_all // own.page_tokens)
    order = torch.randperm(own.pages, generator=torch.Generator().manual_seed(7)).tolist()
    own.seat(row, order[seed * each : (seed + 1) * each])


def on_card(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, device="cuda")


@every_precision
@pytest.mark.parametrize("pieces", [(20,), (32,), (33,), (300,), (256, 44), (100, 5, 195)])
def test_prefill(name: str, dtype: Dtype, most: float, pieces: tuple[int, ...]) -> None:
    own, text = computer(name, dtype), tokens(sum(pieces), len(pieces))
    wanted = expected(name, text)
    seat(own, 3, len(text), 0)
    start = 0
    for piece in pieces:
        found = own.prefill(3, text[start : start + piece], start)
        start += piece
        assert found.dtype == torch.float32
        assert distance(found, wanted[start - 1]) < most
    seat(own, 4, len(text), 1)
    start = 0
    for piece in pieces:
        all_of_them = own.prefill(4, text[start : start + piece], start, every=True)
        assert distance(all_of_them, wanted[start : start + piece]) < most
        start += piece


@every_precision
@pytest.mark.parametrize("count", [1, 2, 3, 8, 11, 20, 32])
def test_decode(name: str, dtype: Dtype, most: float, count: int) -> None:
    """Rows of different lengths, in another order at each step, some of them left out."""
    own = computer(name, dtype)
    texts = [tokens(12 + 7 * row, row) for row in range(count)]
    wanted = [expected(name, text) for text in texts]
    at = [3 + row for row in range(count)]
    for row, text in enumerate(texts):
        seat(own, row, len(text), row)
        own.prefill(row, text[: at[row]], 0)
    for step in range(8):
        rows = torch.randperm(count, generator=torch.Generator().manual_seed(step)).tolist()
        rows = rows[: max(1, count - step % 3)]
        chosen = on_card([texts[row][at[row]] for row in rows])
        found = own.decode(rows, chosen, [at[row] for row in rows]).clone()
        likeliest = own.likeliest(len(rows)).tolist()  # type: ignore[attr-defined]
        for place, row in enumerate(rows):
            assert distance(found[place], wanted[row][at[row]]) < most
            assert likeliest[place] == int(found[place].argmax())
            at[row] += 1


def test_a_position_may_be_computed_again() -> None:
    own, text = computer("demo-gptq-int4", "float16"), tokens(40, 5)
    seat(own, 0, 40, 2)
    own.prefill(0, text[:30], 0)
    own.decode([0], on_card([77]), [30])
    own.decode([0], on_card([78]), [31])
    for place in range(30, 40):
        found = own.decode([0], on_card([text[place]]), [place])
    assert distance(found[0], expected("demo-gptq-int4", text)[-1]) < 6e-3


def test_prefill_and_decode_leave_each_others_logits() -> None:
    own = computer("demo-fp16", "float16")
    seat(own, 0, 64, 0)
    seat(own, 1, 64, 1)
    first = own.prefill(0, tokens(20, 1), 0)
    kept = first.clone()
    decoded = own.decode([0], on_card([5]), [20])
    as_decoded = decoded.clone()
    assert torch.equal(first, kept)
    own.prefill(1, tokens(25, 2), 0)
    assert torch.equal(decoded, as_decoded)


def largest_error(name: str, dtype: Dtype) -> float:
    """Of any logit, over 200 steps of a random text."""
    own, text = computer(name, dtype), tokens(240, 12)
    seat(own, 1, 300, 4)
    found = [own.prefill(1, text[:40], 0).clone()]
    for place in range(40, 240):
        found.append(own.decode([1], on_card([text[place]]), [place])[0].clone())
    return float((torch.stack(found) - expected(name, text)[39:]).abs().max())


@every_precision
def test_greedy_answers_are_the_references(name: str, dtype: Dtype, most: float) -> None:
    """256 tokens of our own choice; wherever the reference would choose another, its two best
    logits are closer than twice the largest error, which is measured on another text."""
    error = largest_error(name, dtype)
    own, text = computer(name, dtype), tokens(40, 11)
    seat(own, 0, 300, 3)
    found = [own.prefill(0, text, 0).clone()]
    said = [int(found[0].argmax())]
    for place in range(40, 295):
        found.append(own.decode([0], on_card([said[-1]]), [place])[0].clone())
        said.append(int(found[-1].argmax()))
    wanted = expected(name, text + said[:-1])[39:]
    ours = torch.stack(found)
    best = wanted.topk(2, dim=1)
    other = best.indices[:, 0] != on_card(said)
    gaps = (best.values[:, 0] - best.values[:, 1])[other]
    print(
        f"{name} {dtype}: relative error {distance(ours, wanted):.1e}, largest {error:.1e}, "
        f"{int(other.sum())} of {len(said)} tokens differ"
    )
    assert bool((gaps < 2 * error).all()) and int(other.sum()) <= 8
    assert distance(ours, wanted) < most


def test_what_is_not_a_number_stays_one_and_harms_nobody() -> None:
    own, text = computer("demo-fp16", "float16"), tokens(40, 9)
    cache = own._cache  # type: ignore[attr-defined]
    for row in (0, 1):
        seat(own, row, 64, row)
        own.prefill(row, text[:39], 0)
    page = int(cache.table[0, 0])
    cache.k[0, page] = float("nan")
    found = own.decode([0, 1], on_card([text[39]] * 2), [39, 39])
    likeliest = own.likeliest(2).tolist()  # type: ignore[attr-defined]
    assert bool(found[0].isnan().any()) and likeliest[0] == -1
    assert distance(found[1], expected("demo-fp16", text)[-1]) < 6e-3
    cache.k[0, page] = 0.0


def test_wrong_weights_are_found_after_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    from qwen_webui.engines.decode.cuda import weights

    own = plan("demo-gptq-int4", "float16")
    packed = weights.packing.pack

    def wrong(given: object) -> object:
        found = packed(given)
        found.scales.mul_(1.01)
        return found

    monkeypatch.setattr(weights.packing, "pack", wrong)
    with pytest.raises(NotForThisPath, match="is off by"):
        loading.load_computer(own, read_config(own), "float16")


def test_a_kernel_that_cannot_be_built_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from qwen_webui.engines.decode.cuda import computer as computers

    def broken(*_: object) -> None:
        raise RuntimeError("PTX assembly aborted\nmore lines")

    monkeypatch.setattr(computers, "compile_all", broken)
    own = plan("demo-gptq-int4", "float16")
    with pytest.raises(NotForThisPath, match=r"do not work here \(PTX assembly aborted\)"):
        loading.load_computer(own, read_config(own), "float16")


def test_what_the_path_does_not_compute_is_a_reason() -> None:
    own = plan("demo-fp16", "float16")
    config: PretrainedConfig = read_config(own)
    with pytest.raises(NotForThisPath, match="float32"):
        loading.load_computer(own, config, "float32")
    config.use_sliding_window = True
    with pytest.raises(NotForThisPath, match="sliding window"):
        loading.load_computer(own, config, "float16")


def test_all_memory_comes_back() -> None:
    own = plan("demo-gptq-int4", "float16")
    for _ in range(2):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        loaded = loading.load_computer(own, read_config(own), "float16")
        loaded.prefill(0, [1, 2, 3], 0)
        loaded.close()
        del loaded
        torch.cuda.empty_cache()
        after = torch.cuda.memory_allocated()
    assert after - before < 1 << 20


@pytest.mark.parametrize("count", [20, 300])
def test_a_piece_is_timed_by_the_card_and_told_once(count: int) -> None:
    own = computer("demo-fp16", "float16")
    seat(own, 3, count, 0)
    torch.cuda.synchronize()
    own.timed()
    own.prefill(3, tokens(count, 1), 0)
    torch.cuda.synchronize()
    timed = own.timed()
    assert timed is not None and timed.tokens == count and 0 < timed.seconds < 60
    assert own.timed() is None


@pytest.mark.parametrize("name", ["demo-fp16", "demo-gptq-int4", "demo-awq-int4"])
def test_files_are_read_as_the_library_reads_them(name: str) -> None:
    seen = 0
    with Readers() as readers:
        for path in sorted(Path(plan(name, "float16").folder).glob("*.safetensors")):
            own = readers.opened(path)
            with safe_open(path, framework="pt", device="cuda") as theirs:
                for tensor in theirs.keys():  # noqa: SIM118
                    assert torch.equal(own.get_tensor(tensor), theirs.get_tensor(tensor)), tensor
                    seen += 1
    assert seen > 10
