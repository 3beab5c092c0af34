"""The transformer of the mask decoder: tokens and image attend to each other (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, FeedForward, as_tokens

FeedForwardFactory = Callable[[int, int], nn.Module]


def sam_feed_forward(dim: int, hidden_dim: int) -> nn.Module:
    """Build the layers by SAM's names: its two linear layers are `lin1` and `lin2`."""
    return FeedForward(dim, hidden_dim, nn.ReLU)


def sam2_feed_forward(dim: int, hidden_dim: int) -> nn.Module:
    """Build the layers by SAM 2's names: `layers.0` and `layers.1`."""
    return MLP(dim, hidden_dim, dim, num_layers=2)


class Attention(nn.Module):
    """Multi-head attention whose inner width is `embed_dim / downsample_rate`.

    Between a handful of tokens and thousands of image cells the cells are never projected (`attend_to_image`,
    `attend_from_image`): what the tokens ask or say is brought to the cells' width instead, which is the same sums in
    another order and about half the work. A batch of 1 on either side is shared by all prompts of the other side.
    """

    def __init__(self, embed_dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        inner = embed_dim // downsample_rate
        self.num_heads = num_heads
        self.scale = (inner // num_heads) ** -0.5
        self.q_proj = nn.Linear(embed_dim, inner)
        self.k_proj = nn.Linear(embed_dim, inner)
        self.v_proj = nn.Linear(embed_dim, inner)
        self.out_proj = nn.Linear(inner, embed_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B,Nq,C), (B,Nk,C), (B,Nk,C) -> (B,Nq,C)."""
        query, key, value = (self._heads(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        return self.out_proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    def attend_to_image(self, tokens: Tensor, side: ImageTokens) -> Tensor:
        """Attend from tokens (B,T,C) to the image: `forward` with the cells as keys and values. (B,T,C)."""
        count = tokens.shape[1]
        # The keys' bias adds the same to all scores of a token, which the softmax takes out again.
        asked = (self._heads(self.q_proj(tokens)) * self.scale) @ self._by_head(self.k_proj)
        weights = _scores(asked.flatten(1, 2), side.with_positions).softmax(dim=-1)
        seen = (weights @ side.image).unflatten(1, (self.num_heads, count))
        values = seen @ self._by_head(self.v_proj).transpose(1, 2) + self._bias_by_head(self.v_proj)
        return self.out_proj(values.transpose(1, 2).flatten(2))

    def attend_from_image(self, side: ImageTokens, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from the image to tokens (B,T,C): `forward` with the cells as queries. (B,N,C)."""
        count = keys.shape[1]
        key = self._heads(self.k_proj(keys)) * self.scale
        asked = key @ self._by_head(self.q_proj)
        offset = (key * self._bias_by_head(self.q_proj)).sum(dim=-1)
        scores = _scores(asked.flatten(1, 2), side.with_positions) + offset.flatten(1)[..., None]
        weights = scores.unflatten(1, (self.num_heads, count)).softmax(dim=2).flatten(1, 2)
        told = self._heads(self.v_proj(values)) @ self.out_proj.weight.unflatten(1, (self.num_heads, -1)).permute(
            1, 2, 0
        )
        return weights.transpose(1, 2) @ told.flatten(1, 2) + self.out_proj.bias

    def _heads(self, x: Tensor) -> Tensor:
        """Reshape (B,N,inner) to (B,heads,N,c)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _by_head(self, projection: nn.Linear) -> Tensor:
        """Return the weights by head: (heads,c,C)."""
        return projection.weight.unflatten(0, (self.num_heads, -1))

    def _bias_by_head(self, projection: nn.Linear) -> Tensor:
        """Return the bias by head: (heads,1,c)."""
        return projection.bias.unflatten(0, (self.num_heads, -1))[:, None]


def _scores(asked: Tensor, cells: Tensor) -> Tensor:
    """Multiply (B,R,C) and (1 or B,N,C) to (B,R,N). One product a prompt: together they take a path ten times as
    slow."""
    return torch.stack([one @ image.t() for one, image in zip(asked, cells.expand(len(asked), -1, -1), strict=True)])


@dataclass(frozen=True)
class ImageTokens:
    """The cells of the image as tokens (1 or B,N,C): `image` alone and `with_positions` with the code of their
    places."""

    image: Tensor
    with_positions: Tensor

    @classmethod
    def of(cls, image: Tensor, image_pe: Tensor) -> ImageTokens:
        """Make the tokens of cells (1 or B,N,C) and the code of their places (1,C,h,w)."""
        return cls(image, image + as_tokens(image_pe))


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

    def forward(self, tokens: Tensor, side: ImageTokens, token_pe: Tensor) -> tuple[Tensor, Tensor]:
        if self.is_first:
            # The tokens still are their own position code here: it is not added and there is no residual.
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        tokens = self.norm2(tokens + self.cross_attn_token_to_image.attend_to_image(tokens + token_pe, side))
        tokens = self.norm3(tokens + self.mlp(tokens))
        change = self.cross_attn_image_to_token.attend_from_image(side, tokens + token_pe, tokens)
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

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`image` (1 or B,h*w,C), `image_pe` (1,C,h,w), `tokens` (B,N,C) -> tokens (B,N,C), image (B,h*w,C)."""
        token_pe = tokens
        side = ImageTokens.of(image, image_pe)
        for layer in self.layers:
            tokens, image = layer(tokens, side, token_pe)
            side = ImageTokens.of(image, image_pe)
        tokens = tokens + self.final_attn_token_to_image.attend_to_image(tokens + token_pe, side)
        return self.norm_final_attn(tokens), side.image
