"""Features of a frame that look back at memories (Ravi et al. 2024, SAM 2, "Memory attention")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DerivedTensors
from .position_encoding import axial_rotations, rotate_pairs

INPUT_POSITION_WEIGHT = 0.1
QUERIES_AT_A_TIME = 128


class RotaryAttention(nn.Module):
    """One-head attention whose queries and spatial keys are turned by their place in the grid."""

    def __init__(self, dim: int, memory_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(memory_dim, dim)
        self.v_proj = nn.Linear(memory_dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, rotations: tuple[Tensor, Tensor], unplaced: int = 0
    ) -> Tensor:
        """(B,N,dim), (B,M,memory_dim) twice -> (B,N,dim); the last `unplaced` keys have no place."""
        query = rotate_pairs(self.q_proj(query), *rotations)
        key = self.k_proj(key)
        placed = key.shape[1] - unplaced
        key = torch.cat([rotate_pairs(key[:, :placed], *rotations), key[:, placed:]], dim=1)
        if query.device.type == "cpu":
            # Weights that sum to 1 may be applied before the value projection: memories are narrower than features.
            return self.out_proj(self.v_proj(attend_on_cpu(query, key, value)))
        # One head: the axis is added because the fused kernels want four.
        attended = F.scaled_dot_product_attention(query[:, None], key[:, None], self.v_proj(value)[:, None])
        return self.out_proj(attended[:, 0])


def attend_on_cpu(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention (B,N,C), (B,M,C), (B,M,V) -> (B,N,V) by matrix products.

    For one wide head they are faster than torch's fused kernel: a little in float32, where a few queries at a time
    keep the scores in the processor's cache, and more than twice in bfloat16, which that kernel does not speed up.
    """
    query = query * query.shape[-1] ** -0.5
    key = key.transpose(1, 2)
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

    def forward(self, x: Tensor, key: Tensor, value: Tensor, rotations: tuple[Tensor, Tensor], unplaced: int) -> Tensor:
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed, rotations)
        x = x + self.cross_attn_image(self.norm2(x), key, value, rotations, unplaced)
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


class MemoryAttention(DerivedTensors):
    """`num_layers` layers and a last norm over the cells of a `grid` = (height, width)."""

    def __init__(self, grid: tuple[int, int], dim: int = 256, memory_dim: int = 64, num_layers: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(dim, memory_dim) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)
        self.grid = grid
        self.dim = dim

    def forward(
        self, features: Tensor, position: Tensor, memory: Tensor, memory_position: Tensor, pointers: int
    ) -> Tensor:
        """Condition features on memories.

        `features` and `position` (B,N,dim); `memory` and `memory_position` (B,M,memory_dim): whole grids first, then
        `pointers` tokens without a place. Returns (B,N,dim).
        """
        x = features + INPUT_POSITION_WEIGHT * position
        key = memory + memory_position
        for layer in self.layers:
            x = layer(x, key, memory, self._rotations(x.device), pointers)
        return self.norm(x)

    def _rotations(self, device: torch.device) -> tuple[Tensor, Tensor]:
        both = self.derived("rotations", lambda: torch.stack(axial_rotations(*self.grid, self.dim)).to(device))
        return both[0], both[1]
