"""TinyViT as LiteMedSAM uses it: the first stride is 1 and the third stage keeps its resolution (Wu et al. 2022).

Names follow the checkpoint. Inside, images are (B,C,H,W) in the convolutional stage and tokens (B,H*W,C) after it.
Three axes for tokens are no matter of taste: four are an image to OpenVINO, which then copies them into the order that
it likes for images, before and after each depthwise convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DerivedTensors, LayerNorm2d, as_image, as_tokens, attend, join_windows, split_windows

HEAD_DIM = 32
ROWS_AT_A_TIME = 32


@dataclass(frozen=True)
class Stage:
    """One attention stage: width, blocks, window side, and the stride on the way to the next stage's width."""

    dim: int
    depth: int
    window: int
    next_dim: int = 0
    next_stride: int = 1


LITE_MEDSAM_STAGES = (
    Stage(dim=128, depth=2, window=7, next_dim=160, next_stride=2),
    Stage(dim=160, depth=6, window=14, next_dim=320, next_stride=1),
    Stage(dim=320, depth=2, window=7),
)


class ConvNorm(DerivedTensors):
    """A convolution without bias, `c`, and its batch norm, `bn`; one convolution when nothing is being trained."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(in_dim, out_dim, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.c.padding)

    def convolve(self, x: Tensor, padding: tuple[int, ...] | str) -> Tensor:
        """Run `forward` with other zeros around (rows, columns)."""
        if self.training or torch.is_grad_enabled():
            return self.bn(F.conv2d(x, self.c.weight, None, self.c.stride, padding, groups=self.c.groups))
        weight = self.derived("weight", lambda: self.c.weight * self._scale()[:, None, None, None])
        bias = self.derived("bias", self._shift)
        return F.conv2d(x, weight, bias, self.c.stride, padding, groups=self.c.groups)

    def _scale(self) -> Tensor:
        """Return the factor of each channel in the batch norm."""
        assert self.bn.running_var is not None
        return torch.rsqrt(self.bn.running_var + self.bn.eps) * self.bn.weight

    def _shift(self) -> Tensor:
        """Return the summand of each channel in the batch norm."""
        assert self.bn.running_mean is not None
        return self.bn.bias - self.bn.running_mean * self._scale()


class PatchEmbed(nn.Module):
    """Two pointwise layers at full resolution."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(in_dim, dim // 2), nn.GELU(), ConvNorm(dim // 2, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class MBConv(nn.Module):
    """Inverted bottleneck with a residual before the last activation.

    It works on some rows at a time, so that the wide maps in the middle stay in the processor's cache.
    """

    def __init__(self, dim: int, expand: int = 4) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, expand * dim)
        self.conv2 = ConvNorm(expand * dim, expand * dim, 3, groups=expand * dim)
        self.conv3 = ConvNorm(expand * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled():
            return self._rows(x, 0, x.shape[2])
        starts = range(0, x.shape[2], ROWS_AT_A_TIME)
        return torch.cat([self._rows(x, start, min(start + ROWS_AT_A_TIME, x.shape[2])) for start in starts], dim=2)

    def _rows(self, x: Tensor, first: int, end: int) -> Tensor:
        """Return the rows `first` to `end` of the result; the depthwise convolution looks at one more on either
        side."""
        above, below = int(first > 0), int(end < x.shape[2])
        inner = F.gelu(self.conv1(x[:, :, first - above : end + below]))
        if not (above and below):  # a pad by nothing would copy the widest maps
            inner = F.pad(inner, (0, 0, 1 - above, 1 - below))
        inner = F.gelu(self.conv2.convolve(inner, (0, 1)))
        return F.gelu(x[:, :, first:end] + self.conv3(inner))


class PatchMerging(nn.Module):
    """To the next stage's width and stride, (B,C,H,W) -> (B,C',H',W')."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, out_dim)
        self.conv2 = ConvNorm(out_dim, out_dim, 3, stride=stride, groups=out_dim)
        self.conv3 = ConvNorm(out_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(DerivedTensors):
    """Attention within a window; each pair's bias depends on the absolute distance in rows and columns."""

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.heads = dim // HEAD_DIM
        self.window = window
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(self.heads, window * window))

    def bias(self) -> Tensor:
        """Return the table spread over all pairs of a window: (1, heads, N, N)."""
        return self.derived("bias", self._spread_bias)

    def _spread_bias(self) -> Tensor:
        place = torch.arange(self.window, device=self.attention_biases.device)
        row, column = (axis.flatten() for axis in torch.meshgrid(place, place, indexing="ij"))
        rows_apart = (row[:, None] - row).abs()
        columns_apart = (column[:, None] - column).abs()
        return self.attention_biases[None, :, rows_apart * self.window + columns_apart]

    def forward(self, x: Tensor) -> Tensor:
        """(B,N,C) -> (B,N,C), before the last projection, which does not care about windows."""
        x = self.norm(x)
        query, key, value = (self._heads(F.linear(x, *self._projection(part))) for part in range(3))
        return attend(query, key, value, self.bias()).transpose(1, 2).flatten(2)

    def _projection(self, part: int) -> tuple[Tensor, Tensor]:
        """Return the weight and bias for the queries (0, scaled), keys (1) or values (2), which alternate head by
        head."""
        scale = HEAD_DIM**-0.5 if part == 0 else 1.0

        def pick(whole: Tensor) -> Tensor:
            return whole.unflatten(0, (self.heads, 3, HEAD_DIM))[:, part].flatten(0, 1) * scale

        weight = self.derived(f"weight {part}", lambda: pick(self.qkv.weight))
        return weight, self.derived(f"bias {part}", lambda: pick(self.qkv.bias))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, HEAD_DIM)).transpose(1, 2)


class NormMlp(nn.Module):
    def __init__(self, dim: int, expand: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, expand * dim)
        self.fc2 = nn.Linear(expand * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class Block(nn.Module):
    """Window attention, a depthwise convolution without residual, and an MLP; on (B,H*W,C)."""

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dim, window)
        self.local_conv = ConvNorm(dim, dim, 3, groups=dim)
        self.mlp = NormMlp(dim)

    def forward(self, x: Tensor, shape: tuple[int, int]) -> Tensor:
        """`shape` = (H,W)."""
        # Zeros are added before the attention's own norm: padded tokens take part in the softmax, as in training.
        windows = split_windows(x.unflatten(1, shape), self.window)
        attended = self.attn(windows.flatten(1, 2)).unflatten(1, (self.window, self.window))
        x = x + self.attn.proj(join_windows(attended, self.window, shape).flatten(1, 2))
        x = as_tokens(self.local_conv(as_image(x, shape)))
        return x + self.mlp(x)


class ConvStage(nn.Module):
    def __init__(self, dim: int, depth: int, next_dim: int, next_stride: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MBConv(dim) for _ in range(depth))
        self.downsample = PatchMerging(dim, next_dim, next_stride)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


class AttentionStage(nn.Module):
    """(B,C,H,W) -> (B,C',H',W'), with (B,H*W,C) in between."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(stage.dim, stage.window) for _ in range(stage.depth))
        self.downsample = (
            PatchMerging(stage.dim, stage.next_dim, stage.next_stride) if stage.next_dim else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        shape = (int(x.shape[2]), int(x.shape[3]))
        x = as_tokens(x)
        for block in self.blocks:
            x = block(x, shape)
        return self.downsample(as_image(x, shape))


class TinyViT(nn.Module):
    """Image (B,3,H,W) -> embedding (B,out_dim,H/4,W/4)."""

    def __init__(
        self,
        *,
        dim: int = 64,
        depth: int = 2,
        stages: Sequence[Stage] = LITE_MEDSAM_STAGES,
        out_dim: int = 256,
        in_dim: int = 3,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(in_dim, dim)
        self.layers = nn.ModuleList([ConvStage(dim, depth, stages[0].dim, next_stride=2)])
        self.layers.extend(AttentionStage(stage) for stage in stages)
        self.neck = nn.Sequential(
            nn.Conv2d(stages[-1].dim, out_dim, kernel_size=1, bias=False),
            LayerNorm2d(out_dim),
            nn.Conv2d(out_dim, out_dim, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        # Channels last from the start: the attention stages then see their tokens without a copy.
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
