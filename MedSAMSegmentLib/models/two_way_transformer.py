"""The transformer of the mask decoder: tokens and image attend to each other (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, FeedForward

FeedForwardFactory = Callable[[int, int], nn.Module]


def sam_feed_forward(dim: int, hidden_dim: int) -> nn.Module:
    """SAM names its two linear layers `lin1` and `lin2`."""
    return FeedForward(dim, hidden_dim, nn.ReLU)


def sam2_feed_forward(dim: int, hidden_dim: int) -> nn.Module:
    """SAM 2 names them `layers.0` and `layers.1`."""
    return MLP(dim, hidden_dim, dim, num_layers=2)


class Attention(nn.Module):
    """Multi-head attention whose inner width is `embed_dim / downsample_rate`.

    A batch of 1 on either side is shared by all prompts of the other side.
    """

    def __init__(self, embed_dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        inner = embed_dim // downsample_rate
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, inner)
        self.k_proj = nn.Linear(embed_dim, inner)
        self.v_proj = nn.Linear(embed_dim, inner)
        self.out_proj = nn.Linear(inner, embed_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B,Nq,C), (B,Nk,C), (B,Nk,C) -> (B,Nq,C)."""
        batch = max(q.shape[0], k.shape[0])
        q, k, v = (
            self._heads(project(x), batch) for project, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor, batch: int) -> Tensor:
        heads = x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return heads.expand(batch, -1, -1, -1)


class TwoWayBlock(nn.Module):
    """Self-attention of the tokens, tokens -> image, feed-forward, image -> tokens; each with a residual and a norm."""

    def __init__(
        self, dim: int, num_heads: int, mlp_dim: int, feed_forward: FeedForwardFactory, is_first: bool
    ) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, num_heads, downsample_rate=2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = feed_forward(dim, mlp_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, num_heads, downsample_rate=2)
        self.is_first = is_first

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        if self.is_first:
            # The tokens still are their own position code here: it is not added and there is no residual.
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        placed_image = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, placed_image, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed_image, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last attention from the tokens to the image."""

    def __init__(
        self,
        depth: int = 2,
        dim: int = 256,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        feed_forward: FeedForwardFactory = sam_feed_forward,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, num_heads, mlp_dim, feed_forward, is_first=index == 0) for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, num_heads, downsample_rate=2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`image` (1 or B,C,h,w), `image_pe` (1,C,h,w), `tokens` (B,N,C) -> tokens (B,N,C), image (B,h*w,C)."""
        # Laid out as tokens once, not again in each product.
        image, image_pe = (x.flatten(2).transpose(1, 2).contiguous() for x in (image, image_pe))
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image
