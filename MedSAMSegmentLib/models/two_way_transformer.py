"""The transformer of the mask decoder: tokens and image attend to each other (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, FeedForward

FeedForwardFactory = Callable[[int, int], nn.Module]

MANY_QUERIES = 16
"""So many queries for each key make it worth while to lay the scores out with the queries last."""


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
        return self.attend(self.q_proj(q), self.k_proj(k), self.v_proj(v))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same for what is projected already, each (B,N,inner)."""
        batch = max(q.shape[0], k.shape[0])
        q, k, v = (self._heads(x, batch) for x in (q, k, v))
        if q.device.type == "cpu" and q.shape[2] >= MANY_QUERIES * k.shape[2]:
            return self.out_proj(attend_to_few(q, k, v).flatten(1, 2).transpose(1, 2))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor, batch: int) -> Tensor:
        heads = x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return heads.expand(batch, -1, -1, -1)


def attend_to_few(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention (B,heads,Nq,c), (B,heads,Nk,c) twice -> (B,heads,c,Nq), for few keys.

    The fused kernel takes one query after the other, each with a softmax over a handful of keys. With the queries
    along the last axis the same sums run over thousands of numbers in a row: about four times as fast on a CPU.
    """
    weights = (k * k.shape[-1] ** -0.5 @ q.transpose(-1, -2)).softmax(dim=-2)
    return v.transpose(-1, -2) @ weights


@dataclass(frozen=True)
class ImageSide:
    """What a block needs of the image, whatever the tokens are: tokens (1 or B,N,C) and projections of them."""

    image: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor


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

    def image_side(self, image: Tensor, image_pe: Tensor) -> ImageSide:
        """`image` (1 or B,N,C) and the code of its places (1,N,C) as this block looks at them."""
        placed = image + image_pe
        look = self.cross_attn_token_to_image
        return ImageSide(image, look.k_proj(placed), look.v_proj(image), self.cross_attn_image_to_token.q_proj(placed))

    def forward(self, tokens: Tensor, side: ImageSide, token_pe: Tensor) -> tuple[Tensor, Tensor]:
        if self.is_first:
            # The tokens still are their own position code here: it is not added and there is no residual.
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        look, answer = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        tokens = self.norm2(tokens + look.attend(look.q_proj(tokens + token_pe), side.keys, side.values))
        tokens = self.norm3(tokens + self.mlp(tokens))
        change = answer.attend(side.queries, answer.k_proj(tokens + token_pe), answer.v_proj(tokens))
        return tokens, self.norm4(side.image + change)


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

    def image_side(self, image: Tensor, image_pe: Tensor) -> ImageSide:
        """(1 or B,C,h,w), (1,C,h,w) -> the image as the first block looks at it: the same for every prompt."""
        first, *_ = self.layers
        assert isinstance(first, TwoWayBlock)
        # Laid out as tokens once, not again in each product.
        return first.image_side(_as_tokens(image).contiguous(), _as_tokens(image_pe))

    def forward(self, side: ImageSide, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What `image_side` made, `image_pe` (1,C,h,w), `tokens` (B,N,C) -> tokens (B,N,C), image (B,h*w,C)."""
        places = _as_tokens(image_pe)
        first, *others = self.layers
        token_pe = tokens
        tokens, image = first(tokens, side, token_pe)
        for layer in others:
            assert isinstance(layer, TwoWayBlock)
            tokens, image = layer(tokens, layer.image_side(image, places), token_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + places, image)
        return self.norm_final_attn(tokens + attended), image


def _as_tokens(x: Tensor) -> Tensor:
    """(B,C,h,w) -> (B,h*w,C)."""
    return x.flatten(2).transpose(1, 2)
