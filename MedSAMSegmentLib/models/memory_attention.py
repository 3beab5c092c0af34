"""Features of a frame that look back at memories (Ravi et al. 2024, SAM 2, "Memory attention")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DerivedTensors
from .position_encoding import RotaryEmbedding, rotate_pairs

MemoryLayers: TypeAlias = Callable[[Tensor, Tensor, Tensor, RotaryEmbedding], Tensor]
"""`MemoryAttention.attend_to_memories`, or what runs the same elsewhere."""

INPUT_POSITION_WEIGHT = 0.1
QUERIES_AT_A_TIME = 128


class RotaryAttention(DerivedTensors):
    """One-head attention whose queries and keys are turned by their place in the grid."""

    def __init__(self, dim: int, memory_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(memory_dim, dim)
        self.v_proj = nn.Linear(memory_dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, query_rotation: RotaryEmbedding, key_rotation: RotaryEmbedding
    ) -> Tensor:
        """(B,N,dim), (B,M,memory_dim) twice -> (B,N,dim)."""
        query = self._rotated("q_proj", query, query_rotation, self.q_proj.out_features**-0.5)
        key = self._rotated("k_proj", key, key_rotation)
        if query.device.type != "cpu":
            # One head: the axis is added because the fused kernels want four.
            value = self.v_proj(value)[:, None]
            return self.out_proj(F.scaled_dot_product_attention(query[:, None], key[:, None], value, scale=1.0)[:, 0])
        # Weights that sum to 1 may be applied before the value projection: memories are narrower than features.
        attended = attend_on_cpu(query, key, value)
        weight = self.derived("value weight", lambda: self.out_proj.weight @ self.v_proj.weight)
        bias = self.derived("value bias", lambda: self.out_proj.weight @ self.v_proj.bias + self.out_proj.bias)
        return F.linear(attended, weight, bias)

    def _rotated(self, name: str, x: Tensor, rotation: RotaryEmbedding, scale: float = 1.0) -> Tensor:
        """Project, scale and rotate `x`: the rotation by 90 degrees is part of a second projection's weights."""
        projection = self.get_submodule(name)
        assert isinstance(projection, nn.Linear)
        weight = self.derived(f"{name} weight", lambda: projection.weight * scale)
        bias = self.derived(f"{name} bias", lambda: projection.bias * scale)
        quarter = self.derived(f"{name} quarter weight", lambda: rotate_pairs(weight))
        quarter_bias = self.derived(f"{name} quarter bias", lambda: rotate_pairs(bias))
        return rotation.apply(F.linear(x, weight, bias), F.linear(x, quarter, quarter_bias))


def attend_on_cpu(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute attention (B,N,C), (B,M,C), (B,M,V) -> (B,N,V) by matrix products; queries come scaled.

    For one wide head they are faster than torch's fused kernel: a little in float32, where a few queries at a time
    keep the scores in the processor's cache, and more than twice in bfloat16, which that kernel does not speed up.
    """
    key = key.transpose(1, 2)
    if torch.jit.is_tracing():
        return (query @ key).softmax(dim=-1) @ value
    if torch.is_autocast_enabled("cpu"):
        reduced = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):  # which would widen the scores for the softmax and back
            return (query.to(reduced) @ key.to(reduced)).softmax(dim=-1) @ value.to(reduced)
    return torch.cat([(part @ key).softmax(dim=-1) @ value for part in query.split(QUERIES_AT_A_TIME, dim=1)], dim=1)


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to the memories, feed-forward; each normed before and with a residual."""

    def __init__(self, dim: int, memory_dim: int, hidden_dim: int = 2048) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(dim, dim)
        self.cross_attn_image = RotaryAttention(dim, memory_dim)
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, rotation: RotaryEmbedding, key_rotation: RotaryEmbedding
    ) -> Tensor:
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed, rotation, rotation)
        x = x + self.cross_attn_image(self.norm2(x), key, value, rotation, key_rotation)
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


class MemoryAttention(DerivedTensors):
    """`num_layers` layers and a last norm over the cells of a `grid` = (height, width)."""

    def __init__(self, grid: tuple[int, int], dim: int = 256, memory_dim: int = 64, num_layers: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(dim, memory_dim) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)
        self.grid = grid
        self.dim = dim
        self._key_rotation: tuple[tuple[int, int], RotaryEmbedding] | None = None

    def forward(
        self,
        features: Tensor,
        position: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        pointers: int,
        *,
        attend_to_memories: MemoryLayers | None = None,
    ) -> Tensor:
        """Condition features on memories. `attend_to_memories` runs the layers in place of this network's own.

        `features` and `position` (B,N,dim); `memory` and `memory_position` (B,M,memory_dim): whole grids first, then
        `pointers` tokens without a place. Returns (B,N,dim).
        """
        x = features + INPUT_POSITION_WEIGHT * position
        rotation = self.key_rotation(memory.shape[1], pointers)
        return (attend_to_memories or self.attend_to_memories)(x, memory + memory_position, memory, rotation)

    def attend_to_memories(self, x: Tensor, key: Tensor, memory: Tensor, key_rotation: RotaryEmbedding) -> Tensor:
        """Run the layers: `x` (B,N,dim), `key` and `memory` (B,M,memory_dim) -> (B,N,dim)."""
        rotation = self._rotation()
        for layer in self.layers:
            x = layer(x, key, memory, rotation, key_rotation)
        return self.norm(x)

    def key_rotation(self, tokens: int, pointers: int) -> RotaryEmbedding:
        """Return the rotation of `tokens` keys of which the last `pointers` have no place. The last call's is kept."""
        kept = self._key_rotation
        rotation = self._rotation()
        if kept is None or kept[0] != (tokens, pointers) or kept[1].cosines.device != rotation.cosines.device:
            grids = (tokens - pointers) // (self.grid[0] * self.grid[1])
            # One assignment, so that two threads at worst compute it twice.
            kept = self._key_rotation = ((tokens, pointers), rotation.repeated(grids, pointers))
        return kept[1]

    def _rotation(self) -> RotaryEmbedding:
        device = self.norm.weight.device

        def tables() -> Tensor:
            rotation = RotaryEmbedding.of_grid(*self.grid, self.dim)
            return torch.stack([rotation.cosines, rotation.sines]).to(device)

        both = self.derived("turn", tables)
        return RotaryEmbedding(both[0], both[1])
