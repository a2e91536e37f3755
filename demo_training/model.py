"""The network of the embedded checkpoint as a plain torch module, for training only.

Parameter names and arithmetic are those of transformers' `Qwen2ForCausalLM`, so the state dict is
the checkpoint (a test compares the logits). It takes documents packed one after another, without
padding, and has no key-value cache: generation is transformers' business.
"""

import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import varlen


@dataclass(frozen=True)
class Shape:
    """The sizes of the network; the defaults are those of the shipped checkpoint."""

    vocabulary: int = 5120
    hidden: int = 256
    layers: int = 9
    heads: int = 4
    key_value_heads: int = 2
    mlp: int = 640
    context: int = 2048
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-6

    @property
    def head(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True)
class Packing:
    """Where each document of a packed row lies. `starts` holds every document's first position,
    then the row's length; it may repeat the length at the end, so that its own length is constant.
    """

    starts: Tensor
    positions: Tensor
    longest: int


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner, shared = shape.heads * shape.head, shape.key_value_heads * shape.head
        self.q_proj = nn.Linear(shape.hidden, inner)
        self.k_proj = nn.Linear(shape.hidden, shared)
        self.v_proj = nn.Linear(shape.hidden, shared)
        self.o_proj = nn.Linear(inner, shape.hidden, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], packing: Packing) -> Tensor:
        length, shape = x.shape[0], self.shape
        q = rotate(self.q_proj(x).view(length, shape.heads, shape.head), rotation)
        k = rotate(self.k_proj(x).view(length, shape.key_value_heads, shape.head), rotation)
        v = self.v_proj(x).view(length, shape.key_value_heads, shape.head)
        groups = shape.heads // shape.key_value_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        mixed = attend(q, k, v.to(q.dtype), packing)
        out: Tensor = self.o_proj(mixed.reshape(length, -1))
        return out


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = MLP(shape)
        self.input_layernorm = nn.RMSNorm(shape.hidden, shape.norm_epsilon)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, shape.norm_epsilon)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], packing: Packing) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, packing)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, shape.norm_epsilon)


class Model(nn.Module):
    """Token ids to logits; the output matrix is the embedding (tied)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        frequencies = shape.rope_theta ** (-torch.arange(0, shape.head, 2).float() / shape.head)
        angles = torch.outer(torch.arange(shape.context).float(), frequencies)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def hidden_states(self, tokens: Tensor, packing: Packing) -> Tensor:
        """[length] token ids to [length, hidden]."""
        cosine, sine = self.get_buffer("cosine"), self.get_buffer("sine")
        rotation = cosine[packing.positions], sine[packing.positions]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, rotation, packing)
        out: Tensor = self.model.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.model.embed_tokens.weight)

    def loss(self, tokens: Tensor, packing: Packing, where: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of `targets` after the positions `where`; -100 is padding."""
        hidden = self.hidden_states(tokens, packing)[where]
        return F.cross_entropy(self.logits(hidden).float(), targets, ignore_index=-100)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding of [length, heads, head] in the half-split form that Qwen2 uses."""
    cosine, sine = (part[:, None, :] for part in rotation)
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return turned.to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """Causal attention within each document; flash attention on CUDA, a mask elsewhere."""
    starts, longest = packing.starts, packing.longest
    if q.is_cuda:
        flash: Any = varlen.varlen_attn
        out: Tensor = flash(q, k, v, starts, starts, longest, longest, **_causal_argument())
        return out
    length = q.shape[0]
    place = torch.arange(length, device=q.device)
    document = torch.searchsorted(starts.long(), place, right=True)
    mask = (document[:, None] == document[None, :]) & (place[:, None] >= place[None, :])
    q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(0, 1)


@lru_cache(maxsize=1)
def _causal_argument() -> dict[str, bool | tuple[int, int]]:
    """torch 2.10 says "causal" with a flag, later ones with a window."""
    if "window_size" in inspect.signature(varlen.varlen_attn).parameters:
        return {"window_size": (-1, 0)}
    return {"is_causal": True}
