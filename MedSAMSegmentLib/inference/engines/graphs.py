"""The parts of a network that an engine other than torch may run, as modules to trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...models.layers import as_tokens
from ...models.position_encoding import RotaryEmbedding
from ...models.sam import Sam
from ...models.sam2 import MEMORY_BIAS, MEMORY_SCALE, NUM_MEMORIES, ImageFeatures, Sam2
from ..slice_networks import Features, SliceNetwork

ENCODER, DECODER, ATTENTION, MEMORY = "", "decoder", "attention", "memory"
"""The graphs' names."""

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


def graphs_of(network: SliceNetwork, module: nn.Module, images: Tensor) -> list[Graph]:
    """Return all that an engine may run of a network, whose encoder gets images of the size of `images` (1,3,S,S)."""
    graphs = [Graph(ENCODER, _FunctionModule(module, network.encode), lambda: (images,), (tuple(images.shape),))]
    if isinstance(module, Sam):
        return [*graphs, _sam_decoder(module)]
    assert isinstance(module, Sam2)
    return [*graphs, _attention(module), _sam2_decoder(module), _memory_encoder(module)]


def _sam_decoder(sam: Sam) -> Graph:
    """Return the graph of `Sam.answer` for one prompt of any number of tokens and any part."""
    encoder = sam.prompt_encoder
    (height, width), dim = encoder.image_embedding_size, encoder.embed_dim
    return Graph(
        DECODER,
        _FunctionModule(sam, sam.answer),
        lambda: decoder_probe(sam, (torch.zeros(1, dim, height, width),)),
        ((1, height * width, dim), (1, -1, dim), (-1,), (-1,)),
    )


def _sam2_decoder(sam2: Sam2) -> Graph:
    """Return the graph of `Sam2.answer` for one prompt of any number of tokens."""

    def answer(image: Tensor, sparse: Tensor, *high_res: Tensor) -> tuple[Tensor, ...]:
        decoded = sam2.answer(image, sparse, (high_res[0], high_res[1]) if high_res else None)
        assert decoded.object_score is not None
        return decoded.logits, decoded.ious, decoded.tokens, decoded.object_score

    (height, width), dim = sam2.config.grid, sam2.config.dim
    skips = ((1, dim // 8, 4 * height, 4 * width), (1, dim // 4, 2 * height, 2 * width))
    shapes = ((1, height * width, dim), (1, -1, dim), *(skips if sam2.config.high_res_features else ()))
    return Graph(DECODER, _FunctionModule(sam2, answer), lambda: tuple(map(_example, shapes)), shapes)


def _attention(sam2: Sam2) -> Graph:
    """Return the graph of `MemoryAttention.attend_to_memories` for any number of memories."""

    def attend_to_memories(x: Tensor, key: Tensor, memory: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        return sam2.memory_attention.attend_to_memories(x, key, memory, RotaryEmbedding(cosines, sines))

    def example() -> tuple[Tensor, ...]:
        x, key, memory, rotation = attention_probe(sam2)
        return x, key, memory, rotation.cosines, rotation.sines

    (height, width), dim, memory_dim = sam2.config.grid, sam2.config.dim, sam2.config.memory_dim
    shapes = ((1, height * width, dim), (1, -1, memory_dim), (1, -1, memory_dim), (-1, dim), (-1, dim))
    return Graph(ATTENTION, _FunctionModule(sam2, attend_to_memories), example, shapes)


def _memory_encoder(sam2: Sam2) -> Graph:
    """Return the graph of `MemoryEncoder.forward`."""
    shapes = ((1, sam2.config.dim, *sam2.config.grid), (1, 1, sam2.image_size, sam2.image_size))
    return Graph(MEMORY, _FunctionModule(sam2, sam2.memory_encoder), lambda: tuple(map(_example, shapes)), shapes)


def _example(shape: tuple[int, ...]) -> Tensor:
    """Return fixed numbers of a shape whose open sides are 3."""
    sizes = [3 if side < 0 else side for side in shape]
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0))


def decoder_probe(sam: Sam, features: Features) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments for `answer`: a box on these features, and all of the slice."""
    with torch.no_grad():
        side = float(sam.image_size)
        box = torch.tensor([[side / 4, side / 4, side / 2, side / 2]], device=features[0].device)
        sparse, dense = sam.prompt_encoder(boxes=box)
        rows, columns = (torch.arange(side, device=box.device) for side in sam.prompt_encoder.image_embedding_size)
        return as_tokens(features[0]).contiguous() + dense, sparse, rows, columns


def sam2_decoder_probe(sam2: Sam2, features: Features) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Return the arguments for `answer`: a box on these features, without memory."""
    side = float(sam2.image_size)
    box = torch.tensor([[side / 4, side / 4, side / 2, side / 2]], device=sam2.device)
    sparse, dense = sam2.sam_prompt_encoder(boxes=box)
    embedding, *skips = features
    cells = as_tokens(sam2.without_memory(ImageFeatures(embedding, None))).contiguous() + dense
    return cells, sparse, (skips[0], skips[1]) if skips else None


def memory_probe(sam2: Sam2, features: Features) -> tuple[Tensor, Tensor]:
    """Return the arguments for the memory encoder: these features, and a square."""
    side = sam2.image_size
    mask = torch.full((1, 1, side, side), MEMORY_BIAS, device=sam2.device)
    mask[..., side // 4 : side // 2, side // 4 : side // 2] += MEMORY_SCALE
    return features[0], mask


def attention_probe(sam2: Sam2) -> tuple[Tensor, Tensor, Tensor, RotaryEmbedding]:
    """Return fixed arguments for `attend_to_memories`, with as many memories and pointers as a long run has."""
    height, width = sam2.config.grid
    tokens = NUM_MEMORIES * height * width + POINTER_TOKENS
    random = torch.Generator().manual_seed(0)
    x = torch.randn((1, height * width, sam2.config.dim), generator=random)
    memory, position = (torch.randn((1, tokens, sam2.config.memory_dim), generator=random) for _ in range(2))
    rotation = sam2.memory_attention.key_rotation(tokens, POINTER_TOKENS)
    return x.to(sam2.device), (memory + position).to(sam2.device), memory.to(sam2.device), rotation


class _FunctionModule(nn.Module):
    """A function of a network's as a module that owns the network."""

    def __init__(self, owner: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.owner = owner
        self._function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self._function(*inputs)
