"""Writes `inference/engines/int8_ranges.json`: what goes into the layers whose products bear eight bits.

MEDSAM_UNSEEN=FOLDER python Testing/bench/int8_ranges.py

Looked at are slices of the cases that only judge (`cases.py`), none of the seven. The end of a range is the geometric
mean of the largest number seen and of the largest number that one in ten thousand passes on some slice: numbers beyond
it are cut, and all others are told apart more finely. After a GELU, which gives nothing below -0.17, the range starts
there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cases import unseen_cases
from torch import Tensor, nn

from MedSAMSegmentLib.inference.engines import int8
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.tiny_vit import AttentionStage, Block, TinyViT

MODEL = "lite_medsam"
SLICES = 6
"""Of each case, spread evenly over the object."""
RARE = 1e-4
GELU_LOW = -0.17


def main() -> None:
    predictor = load_predictor(MODEL, device="cpu", precision="float32", engine="torch")
    assert isinstance(predictor.module, Sam)
    encoder = predictor.module.image_encoder
    assert isinstance(encoder, TinyViT)
    largest: dict[str, list[float]] = {}
    often: dict[str, list[float]] = {}

    def look(name: str, x: Tensor) -> None:
        sizes = x.detach().abs().flatten()
        largest.setdefault(name, []).append(float(sizes.max()))
        often.setdefault(name, []).append(float(np.quantile(sizes.numpy(), 1 - RARE)))

    layers = dict(layers_in_eight_bits(encoder))
    for name, source in layers.items():
        if source is None:
            layer = encoder.get_submodule(name)
            layer.register_forward_pre_hook(lambda _, inputs, name=name: look(name, inputs[0]))
        else:
            source.register_forward_hook(lambda _, __, output, name=name: look(name, output))
    count = encode_slices(predictor)
    ends = {name: math.sqrt(max(largest[name]) * max(often[name])) for name in layers}
    ranges = {name: after_gelu(end) if name.endswith("fc2") else around_zero(end) for name, end in ends.items()}
    path = Path(int8.__file__).with_name("int8_ranges.json")
    written = {MODEL: {"sha256": predictor.weights_sha256, "slices": count, "ranges": ranges}}
    path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"{len(ranges)} layers, {count} slices: {path.name}")


def layers_in_eight_bits(encoder: TinyViT) -> Iterator[tuple[str, nn.Module | None]]:
    """Their names, and the module that makes what goes in where the layer itself is not called.

    Left out, as each alone changes the embedding by 0.02 to 0.08: the patches, the convolutions between the stages and
    the first of the neck, and the convolutional stage.
    """
    for number, stage in enumerate(encoder.layers):
        if not isinstance(stage, AttentionStage):
            continue
        for index, block in enumerate(stage.blocks):
            assert isinstance(block, Block)
            name = f"layers.{number}.blocks.{index}"
            yield f"{name}.attn", block.attn.norm
            for layer in ("attn.proj", "mlp.fc1", "mlp.fc2"):
                yield f"{name}.{layer}", None
    yield "neck.2", None


def encode_slices(predictor: SlicePredictor) -> int:
    count = 0
    for case in unseen_cases():
        with open_session(predictor, case.image, geometry=case.geometry, window=case.window) as session:
            for index in np.unique(np.linspace(*case.box.k, SLICES).astype(int)):
                session.encode_slice(0, int(index))
                count += 1
    return count


def around_zero(end: float) -> tuple[float, float]:
    """Zero is one of the levels, the 128th."""
    return (round(-end, 6), round(end * 127 / 128, 6))


def after_gelu(end: float) -> tuple[float, float]:
    """Zero is one of the levels here, too."""
    step = (end - GELU_LOW) / (int8.LEVELS - 1)
    low = -round(-GELU_LOW / step) * step
    return (round(low, 6), round(low + (int8.LEVELS - 1) * step, 6))


if __name__ == "__main__":
    main()
