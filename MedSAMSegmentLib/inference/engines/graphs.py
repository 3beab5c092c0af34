"""The parts of a network that an engine other than torch may run, as modules to trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.memory_attention import MemoryAttention
from ...models.position_encoding import Turn
from ...models.sam import Sam
from ...models.sam2 import NUM_MEMORIES, Sam2
from ..slice_networks import Features, SliceNetwork

POINTER_TOKENS = 64
"""Of sixteen object pointers, as many as a frame attends to."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A module to trace on what `example` makes. `shapes` are those that its inputs may have; -1 is any size.

    `name` tells the files of one model's graphs apart; that of the encoder is empty.
    """

    name: str
    module: nn.Module
    example: Callable[[], tuple[Tensor, ...]]
    shapes: tuple[tuple[int, ...], ...]


def encoder_graph(network: SliceNetwork, module: nn.Module, images: Tensor) -> Graph:
    """`SliceNetwork.encode` at the size of `images` (1,3,S,S)."""
    return Graph("", _Encoder(network, module), lambda: (images,), (tuple(images.shape),))


def decoder_graph(module: nn.Module) -> Graph | None:
    """`Sam.answer` for one prompt of any number of tokens and any part; None for other networks."""
    if not isinstance(module, Sam):
        return None
    encoder = module.prompt_encoder
    (height, width), dim = encoder.image_embedding_size, encoder.embed_dim
    return Graph(
        "decoder",
        _Decoder(module),
        lambda: decoder_probe(module, (torch.zeros(1, dim, height, width),)),
        ((1, height * width, dim), (1, -1, dim), (-1,), (-1,)),
    )


def decoder_probe(sam: Sam, features: Features) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Arguments for `answer`: a box on these features, and all of the slice."""
    with torch.no_grad():
        side = float(sam.image_size)
        box = torch.tensor([[side / 4, side / 4, side / 2, side / 2]], device=features[0].device)
        sparse, _ = sam.prompt_encoder(boxes=box)
        rows, columns = (torch.arange(side, device=box.device) for side in sam.prompt_encoder.image_embedding_size)
        return sam.image_side(features).image, sparse, rows, columns


def look_back_graph(module: nn.Module) -> Graph | None:
    """`MemoryAttention.look_back` for any number of memories; None for a network without memory."""
    if not isinstance(module, Sam2):
        return None
    (height, width), dim, memory_dim = module.config.grid, module.config.dim, module.config.memory_dim

    def example() -> tuple[Tensor, ...]:
        x, key, memory, turn = look_back_probe(module)
        return x, key, memory, turn.cosines, turn.sines

    shapes = ((1, height * width, dim), (1, -1, memory_dim), (1, -1, memory_dim), (-1, dim), (-1, dim))
    return Graph("attention", _LookBack(module.memory_attention), example, shapes)


def look_back_probe(sam2: Sam2) -> tuple[Tensor, Tensor, Tensor, Turn]:
    """Fixed arguments for `look_back`, with as many memories and pointers as a long run has."""
    height, width = sam2.config.grid
    tokens = NUM_MEMORIES * height * width + POINTER_TOKENS
    random = torch.Generator().manual_seed(0)
    x = torch.randn((1, height * width, sam2.config.dim), generator=random)
    memory, position = (torch.randn((1, tokens, sam2.config.memory_dim), generator=random) for _ in range(2))
    turn = sam2.memory_attention.key_turn(tokens, POINTER_TOKENS)
    return x.to(sam2.device), (memory + position).to(sam2.device), memory.to(sam2.device), turn


class _Encoder(nn.Module):
    def __init__(self, network: SliceNetwork, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._network = network

    def forward(self, images: Tensor) -> Features:
        return self._network.encode(images)


class _Decoder(nn.Module):
    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, image: Tensor, sparse: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        return self.sam.answer(image, sparse, rows, columns)


class _LookBack(nn.Module):
    def __init__(self, attention: MemoryAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, key: Tensor, memory: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        return self.attention.look_back(x, key, memory, Turn(cosines, sines))
