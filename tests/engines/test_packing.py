"""The layout of the card's kernels, on a CPU: every bit comes back, and lies where a fragment of
the tensor cores wants it."""

from __future__ import annotations

import pytest
import torch

from qwen_webui.engines.decode.cuda.packing import pack, unpack
from qwen_webui.engines.decode.cuda.tiles import cut_for
from qwen_webui.engines.decode.cuda.weights import fused, gate_up_order, head_order, require_shape
from qwen_webui.engines.decode.layouts import Plain
from qwen_webui.engines.decode.source import LayerTensors, NotForThisPath, Shape

SEVEN = Shape(28, 3584, 18944, 28, 4, 128, 152064, 1e-6)
HALF = Shape(24, 896, 4864, 14, 2, 64, 151936, 1e-6)


def plain(rows: int, inputs: int, bits: int, zeros: bool = False) -> Plain:
    """A product of random values, whose zeros are in the middle or anywhere."""
    size = rows, inputs // 128
    middle = torch.full(size, 2 ** (bits - 1))
    return Plain(
        torch.randint(0, 2**bits, (rows, inputs)).to(torch.uint8),
        (torch.rand(size) * 0.02 + 0.001).half(),
        (torch.randint(0, 2**bits, size) if zeros else middle).to(torch.uint8),
        bits,
    )


@pytest.mark.parametrize(("bits", "zeros"), [(4, False), (8, False), (4, True), (8, True)])
def test_every_bit_comes_back(bits: int, zeros: bool) -> None:
    given = plain(64, 384, bits, zeros)
    packed = pack(given)
    assert packed.zeros == zeros
    assert packed.words.nbytes * 8 == 64 * 384 * bits
    back = unpack(packed)
    for name in ("values", "scales", "zeros"):
        assert torch.equal(getattr(back, name), getattr(given, name)), name


def test_a_large_product_is_packed_like_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    given = plain(96, 256, 4)
    whole = pack(given)
    monkeypatch.setattr("qwen_webui.engines.decode.cuda.packing.VALUES_AT_ONCE", 32 * 256)
    assert torch.equal(pack(given).words, whole.words)


def test_a_lane_finds_its_fragment() -> None:
    """Lane l of a warp holds, of mma.m16n8k16's first operand, rows l // 4 and l // 4 + 8 and four
    runs of two inputs. Written down from the layout's description, not from the packing code: word
    w of a lane's 16 bytes is row l // 4 + 8 * (w // 2), and holds inputs
    64 * rep + 32 * (w % 2) + 8 * (l % 4) on, in the order 0 2 4 6 and, higher up, 1 3 5 7."""
    given = plain(16, 128, 4)
    words = pack(given).words.view(2, 32, 4)
    for rep, lane, word in ((0, 0, 0), (0, 5, 1), (1, 17, 2), (1, 31, 3)):
        row = lane // 4 + 8 * (word // 2)
        first = 64 * rep + 32 * (word % 2) + 8 * (lane % 4)
        bits = int(words[rep, lane, word]) & 0xFFFFFFFF
        found = [bits >> (4 * place) & 15 for place in range(8)]
        eight = given.values[row, first : first + 8].tolist()
        assert found == [eight[k] for k in (0, 2, 4, 6, 1, 3, 5, 7)]


def test_rows_of_a_tile_belong_together() -> None:
    heads = head_order(3, 64).view(-1, 2, 8)
    assert torch.equal(heads[:, 1] - heads[:, 0], torch.full((12, 8), 32))
    both = gate_up_order(640).view(-1, 2, 8)
    assert torch.equal(both[:, 1] - both[:, 0], torch.full((80, 8), 640))
    assert sorted(both.flatten().tolist()) == list(range(1280))


def test_products_of_a_layer_keep_every_row() -> None:
    shape = Shape(1, 256, 384, 4, 2, 64, 512, 1e-6)
    rows = {"q": 256, "k": 128, "v": 128, "o": 256, "gate": 384, "up": 384, "down": 256}
    linears = {n: torch.randn(r, 384 if n == "down" else 256) for n, r in rows.items()}
    small = dict.fromkeys(("q_bias", "k_bias", "v_bias", "input_gain", "post_gain"), torch.ones(1))
    found = dict(fused(shape, LayerTensors(**linears, **small)))
    qkv = torch.cat([linears[name] for name in "qkv"])
    assert torch.equal(found["qkv"], qkv[head_order(8, 64)])
    assert torch.equal(found["gate_up"][:8], linears["gate"][:8])
    assert torch.equal(found["gate_up"][8:16], linears["up"][:8])


@pytest.mark.parametrize("shape", [SEVEN, HALF], ids=["7B", "0.5B"])
@pytest.mark.parametrize("columns", [8, 16, 32])
@pytest.mark.parametrize("bits", [4, 5, 8, 16])
@pytest.mark.parametrize("wgmma", [True, False])
def test_cuts_divide_every_product(shape: Shape, columns: int, bits: int, wgmma: bool) -> None:
    require_shape(shape)
    sizes = {
        "qkv": ((shape.heads + 2 * shape.kv_heads) * shape.head, shape.hidden),
        "o": (shape.hidden, shape.heads * shape.head),
        "gate_up": (2 * shape.intermediate, shape.hidden),
        "down": (shape.hidden, shape.intermediate),
        "head": (shape.vocabulary, shape.hidden),
    }
    for name, (rows, inputs) in sizes.items():
        own, zero = (4, True) if bits == 5 else (bits, False)
        cut = cut_for(name, own, zero, columns, rows, inputs, wgmma)
        assert rows % cut.rows == 0, (name, cut)
        if cut.stages:
            assert wgmma
            assert cut.split * 2 <= inputs // 128, (name, cut)
        else:
            assert cut.split == 1 and cut.warps <= inputs // 128


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        (Shape(1, 896, 4864, 14, 2, 80, 512, 1e-6), "size 80"),
        (Shape(1, 900, 4864, 14, 2, 64, 512, 1e-6), "hidden size 900"),
        (Shape(1, 896, 4864, 14, 2, 64, 500, 1e-6), "vocabulary 500"),
    ],
)
def test_other_shapes_are_refused_with_the_reason(shape: Shape, word: str) -> None:
    with pytest.raises(NotForThisPath, match=word):
        require_shape(shape)
