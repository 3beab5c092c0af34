"""Eight-bit products in a converted encoder, for weights whose activations were looked at.

`int8_ranges.json` holds, for a model and the hash of its weights, the layers whose products bear eight bits and the
range of what goes into each; `Testing/bench/int8_ranges.py` writes it. Layers that are not in it stay as they are.
OpenVINO takes the marks that are set here ("fake quantize") for integer products when it compiles the graph.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .base import EngineFiles

Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""A layer's name within the image encoder -> the least and the largest number that goes into its product."""

LEVELS = 256
WEIGHT_LEVELS = 255
"""As many on both sides of zero."""


def ranges_of(files: EngineFiles) -> Ranges | None:
    """Return the ranges of a model with these very weights; None where nobody has looked."""
    found = _all_ranges().get(files.entry.id)
    return found["ranges"] if found is not None and found["sha256"] == files.weights_sha256 else None


def ranges_digest() -> str:
    """Tell graphs apart that were compiled with other ranges."""
    return hashlib.sha256(json.dumps(_all_ranges(), sort_keys=True).encode()).hexdigest()[:8]


@cache
def _all_ranges() -> Mapping[str, Any]:
    return json.loads(Path(__file__).with_name("int8_ranges.json").read_text(encoding="utf-8"))


def quantize_products(model: Any, ranges: Ranges) -> None:
    """Quantize the products of an `openvino.Model` of an image encoder, which is changed, for eight bits.

    Activations are divided evenly over their range, the weights of each output channel by their largest. Raises
    RuntimeError where the graph lacks a layer that has a range.
    """
    inputs: dict[tuple[str, int], Any] = {}
    missing = set(ranges)
    for layer, node in _products(model):
        if layer not in ranges:
            continue
        missing.discard(layer)
        source = node.input_value(0)
        place = (source.get_node().get_friendly_name(), source.get_index())
        if place not in inputs:  # queries, keys and values are made from one
            inputs[place] = _fake_quantize(source, *ranges[layer], LEVELS)
        node.input(0).replace_source_output(inputs[place])
        weight = node.input_value(1)
        largest = _largest(np.array(weight.get_node().data), _channel_axis(node))
        node.input(1).replace_source_output(_fake_quantize(weight, -largest, largest, WEIGHT_LEVELS))
    if missing:
        raise RuntimeError(f"the graph has no products of {', '.join(sorted(missing))}")


def _products(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the products with weights, and the layers that they belong to."""
    for node in model.get_ordered_ops():
        if node.get_type_name() in {"MatMul", "Convolution"}:
            name = re.search(r"image_encoder\.([\w.]+)/", node.get_friendly_name())
            if name and node.input_value(1).get_node().get_type_name() == "Constant":
                yield name[1], node


def _channel_axis(node: Any) -> int:
    """Return the axis of a product's weights that counts its output channels."""
    return 1 if node.get_type_name() == "MatMul" and not node.get_attributes()["transpose_b"] else 0


def _largest(weight: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(other for other in range(weight.ndim) if other != axis)
    return np.abs(weight).max(axis=others, keepdims=True).clip(min=1e-8)


def _fake_quantize(source: Any, low: Any, high: Any, levels: int) -> Any:
    from openvino import opset13

    bounds = [opset13.constant(np.asarray(bound, dtype=np.float32)) for bound in (low, high)]
    return opset13.fake_quantize(source, *bounds, *bounds, levels).output(0)
