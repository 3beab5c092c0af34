"""What an engine traces of a network: examples of the shapes that are promised, and fixed arguments to compare with."""

from __future__ import annotations

import pytest
import torch
from toy_sam import toy_sam
from toy_sam2 import toy_model

from MedSAMSegmentLib.inference.engines import graphs
from MedSAMSegmentLib.inference.engines.graphs import (
    Graph,
    attention_probe,
    decoder_probe,
    graphs_of,
    memory_probe,
    sam2_decoder_probe,
)
from MedSAMSegmentLib.inference.slice_networks import slice_network
from MedSAMSegmentLib.models.layers import as_tokens
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.sam2 import ImageFeatures, Sam2

SAM, SAM2, WITH_SKIPS = "SAM", "SAM 2", "SAM 2 with features of high resolution"
MEMORY_GRAPHS = ["attention", "decoder", "memory"]

QUARTER_TO_HALF = torch.tensor([[16.0, 16.0, 32.0, 32.0]])
"""The box of the probes, on 64 pixels."""


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    return {SAM: toy_sam(), SAM2: toy_model(), WITH_SKIPS: toy_model(high_res=True)}


def all_graphs(module: torch.nn.Module) -> list[Graph]:
    return graphs_of(slice_network(module), module, torch.rand(1, 3, 64, 64))


@torch.inference_mode()
@pytest.mark.parametrize("network", [SAM, SAM2, WITH_SKIPS])
def test_every_graph_runs_on_its_example_which_has_the_promised_shapes(
    networks: dict[str, torch.nn.Module], network: str
) -> None:
    found = all_graphs(networks[network])
    assert [graph.name for graph in found] == ["", *(["decoder"] if network == SAM else MEMORY_GRAPHS)]
    for graph in found:
        example = graph.example()
        assert len(example) == len(graph.shapes)
        for tensor, shape in zip(example, graph.shapes, strict=True):
            assert tensor.ndim == len(shape)
            assert all(side in (-1, size) for side, size in zip(shape, tensor.shape, strict=True)), graph.name
        graph.module(*example)


def test_only_sides_that_may_differ_are_open(networks: dict[str, torch.nn.Module]) -> None:
    for network, name, open_sides in (
        (SAM, "decoder", [[], [1], [0], [0]]),
        (WITH_SKIPS, "attention", [[], [1], [1], [0], [0]]),
        (WITH_SKIPS, "decoder", [[], [1], [], []]),
        (WITH_SKIPS, "memory", [[], []]),
    ):
        (graph,) = (graph for graph in all_graphs(networks[network]) if graph.name == name)
        assert [[place for place, side in enumerate(shape) if side == -1] for shape in graph.shapes] == open_sides


def test_an_example_is_the_same_each_time_and_three_where_a_side_is_open() -> None:
    first, second = (graphs._example((1, -1, 4)) for _ in range(2))
    assert first.shape == (1, 3, 4)
    assert torch.equal(first, second)
    assert torch.equal(first, torch.randn((1, 3, 4), generator=torch.Generator().manual_seed(0)))


@torch.inference_mode()
def test_sam_is_compared_by_a_box_on_all_of_the_slice(networks: dict[str, torch.nn.Module]) -> None:
    sam = networks[SAM]
    assert isinstance(sam, Sam)
    features = sam.encode(torch.rand(1, 3, 64, 64))
    cells, sparse, rows, columns = decoder_probe(sam, features)
    box, dense = sam.prompt_encoder(boxes=QUARTER_TO_HALF)
    assert torch.equal(sparse, box)
    assert torch.equal(cells, as_tokens(features[0]) + dense)
    assert rows.tolist() == columns.tolist() == list(range(16))
    assert not cells.requires_grad


@torch.inference_mode()
@pytest.mark.parametrize("network", [SAM2, WITH_SKIPS])
def test_sam2_is_compared_by_a_box_without_memory(networks: dict[str, torch.nn.Module], network: str) -> None:
    sam2 = networks[network]
    assert isinstance(sam2, Sam2)
    features = slice_network(sam2).encode(torch.rand(1, 3, 64, 64))
    cells, sparse, skips = sam2_decoder_probe(sam2, features)
    box, dense = sam2.sam_prompt_encoder(boxes=QUARTER_TO_HALF)
    assert torch.equal(sparse, box)
    assert torch.equal(cells, as_tokens(sam2.without_memory(ImageFeatures(features[0], None))) + dense)
    if network == WITH_SKIPS:
        assert skips is not None
        assert [skip is feature for skip, feature in zip(skips, features[1:], strict=True)] == [True, True]
    else:
        assert skips is None


@torch.inference_mode()
def test_what_is_kept_is_compared_by_a_square_of_certain_object(networks: dict[str, torch.nn.Module]) -> None:
    """As sure as `binarize` makes a mask: 10 inside, -10 outside."""
    sam2 = networks[SAM2]
    assert isinstance(sam2, Sam2)
    features = slice_network(sam2).encode(torch.rand(1, 3, 64, 64))
    embedding, mask = memory_probe(sam2, features)
    assert embedding is features[0]
    expected = torch.full((1, 1, 64, 64), -10.0)
    expected[..., 16:32, 16:32] = 10.0
    assert torch.equal(mask, expected)


def test_looking_back_is_compared_by_a_full_memory(networks: dict[str, torch.nn.Module]) -> None:
    """Seven memories of 4 x 4 cells, and sixteen pointers in four tokens each."""
    sam2 = networks[SAM2]
    assert isinstance(sam2, Sam2)
    x, key, memory, rotation = attention_probe(sam2)
    tokens = 7 * 16 + 64
    assert x.shape == (1, 16, 256)
    assert memory.shape == key.shape == (1, tokens, 64)
    expected = sam2.memory_attention.key_rotation(tokens, 64)
    assert torch.equal(rotation.cosines, expected.cosines)
    assert torch.equal(rotation.sines, expected.sines)
    again = attention_probe(sam2)
    assert torch.equal(again[0], x)
    assert not torch.equal(key, memory)
