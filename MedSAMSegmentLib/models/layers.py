"""Small building blocks that several networks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[], nn.Module]
_Module = TypeVar("_Module", bound="DerivedTensors")


class DerivedTensors(nn.Module):
    """A module that keeps tensors computed from its weights alone, as long as the weights stay the same.

    Kept only in eval mode without gradients, and dropped by `train()`, `eval()`, `load_state_dict()` and `to()`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._derived: dict[str, Tensor] = {}

    def derived(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the tensor `name`, computed now unless it is kept."""
        if self.training or torch.is_grad_enabled():
            return compute()
        kept = self._derived.get(name)
        if kept is None:
            kept = self._derived[name] = compute()
        return kept

    def train(self: _Module, mode: bool = True) -> _Module:
        self._derived.clear()
        return super().train(mode)

    def _apply(self: _Module, *args: Any, **kwargs: Any) -> _Module:
        self._derived.clear()
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._derived.clear()
        super()._load_from_state_dict(*args, **kwargs)


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of (B,C,H,W)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.layer_norm(as_tokens(x), self.weight.shape, self.weight, self.bias, self.eps)
        return as_image(tokens, x.shape[2:])


class MLP(nn.Module):
    """`num_layers` linear layers named `layers.N` with an activation between them, on the last axis."""

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        num_layers: int,
        *,
        activation: Activation = nn.ReLU,
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        inner = [hidden_dim] * (num_layers - 1)
        sizes = zip([input_dim, *inner], [*inner, output_dim], strict=True)
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in sizes)
        self.activation = activation()
        self.sigmoid_output = sigmoid_output

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.layers
        for layer in inner:
            x = self.activation(layer(x))
        x = last(x)
        return torch.sigmoid(x) if self.sigmoid_output else x


class FeedForward(nn.Module):
    """The two linear layers of a SAM block, named `lin1` and `lin2` as in its checkpoints."""

    def __init__(self, dim: int, hidden_dim: int, activation: Activation = nn.GELU) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden_dim)
        self.lin2 = nn.Linear(hidden_dim, dim)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(self.activation(self.lin1(x)))


def as_tokens(x: Tensor) -> Tensor:
    """Reshape (B,C,H,W) to (B,H*W,C)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def as_image(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Reshape (B,H*W,C) to (B,C,H,W) with `shape` = (H,W)."""
    return x.unflatten(1, shape).permute(0, 3, 1, 2)


def split_windows(x: Tensor, size: int) -> Tensor:
    """Cut (B,H,W,C) into windows (B*n,size,size,C), zero-padded at the bottom and right."""
    batch, height, width, channels = x.shape
    pad_h, pad_w = -height % size, -width % size
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    rows, columns = (height + pad_h) // size, (width + pad_w) // size
    # A window's row is one run of numbers: the copy moves whole runs.
    x = x.reshape(batch, rows, size, columns, size * channels).transpose(2, 3)
    return x.reshape(-1, size, size, channels)


def project_windows(x: Tensor, weight: Tensor, bias: Tensor, size: int) -> Tensor:
    """Apply a linear layer to (B,H,W,C) and return the result cut into windows (B*n,size*size,C').

    Cells beyond the grid are zeros, so the bias is all they give: nothing is multiplied for them.
    """
    projected = split_windows(F.linear(x, weight), size).flatten(1, 2)
    return projected + bias.to(projected.dtype)  # below float32 in an autocast region


def join_windows(windows: Tensor, size: int, shape: tuple[int, int]) -> Tensor:
    """Undo `split_windows`: (B*n,size,size,C) -> (B,H,W,C) with `shape` = (H,W); the padding is cut off."""
    rows, columns = -(-shape[0] // size), -(-shape[1] // size)
    channels = windows.shape[-1]
    x = windows.reshape(-1, rows, columns, size, size * channels).transpose(2, 3)
    x = x.reshape(-1, rows * size, columns * size, channels)
    return x if (rows * size, columns * size) == shape else x[:, : shape[0], : shape[1]]


class JointProjection(DerivedTensors):
    """The weights of an attention whose queries, keys and values are thirds of one layer, `qkv`."""

    def __init__(self, dim: int, dim_out: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, dim_out * 3)
        self.proj = nn.Linear(dim_out, dim_out)

    def projection(self, part: int) -> tuple[Tensor, Tensor]:
        """Return the weight and bias for the queries (0, scaled), keys (1) or values (2)."""
        width = self.proj.in_features
        scale = (width // self.num_heads) ** -0.5 if part == 0 else 1.0
        rows = slice(part * width, (part + 1) * width)
        weight = self.derived(f"weight {part}", lambda: self.qkv.weight[rows] * scale)
        return weight, self.derived(f"bias {part}", lambda: self.qkv.bias[rows] * scale)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute attention (B,heads,N,c), (B,heads,M,c) twice -> (B,heads,N,c); queries come scaled, `bias` adds to the
    scores.

    While a graph is traced it is written out: OpenVINO makes one kernel of the products, the softmax and the
    transpositions around them, which it does not of torch's fused operation. The first product is an `einsum` because
    keys that are transposed beforehand are copied beforehand.
    """
    if not torch.jit.is_tracing():
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
    scores = torch.einsum("bhnc,bhmc->bhnm", query, key)
    return (scores if bias is None else scores + bias).softmax(dim=-1) @ value
