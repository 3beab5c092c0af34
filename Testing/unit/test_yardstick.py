"""What the benchmarks compare with gives the same numbers as our networks: only the way there is plain."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from toy_sam import toy_encoder, toy_sam
from toy_sam2 import toy_model

from MedSAMSegmentLib.inference.engines.base import probe_input, relative_error
from MedSAMSegmentLib.inference.engines.graphs import attention_probe, decoder_probe, sam2_decoder_probe

BENCH = str(Path(__file__).resolve().parents[1] / "bench")
sys.path.insert(0, BENCH)
try:
    from plain_eager import PlainEager
finally:
    sys.path.remove(BENCH)


@torch.inference_mode()
def test_the_plain_sam_gives_our_numbers() -> None:
    sam = toy_sam()
    plain = PlainEager(sam)
    encoder = toy_encoder(None, sam)
    images = probe_input(encoder.files.entry)
    features = encoder.network.encode(images)
    assert relative_error(plain.encode(images), features) < 1e-5
    image, sparse, rows, columns = decoder_probe(sam, features)
    assert plain.decode is not None
    arguments = (image, sparse, rows[3:9], columns[2:5])
    assert relative_error(plain.decode(*arguments), sam.answer(*arguments)) < 1e-5


@pytest.mark.parametrize("high_res", [False, True])
@torch.inference_mode()
def test_the_plain_sam2_gives_our_numbers(high_res: bool) -> None:
    model = toy_model(high_res)
    plain = PlainEager(model)
    encoder = toy_encoder(None, model)
    images = probe_input(encoder.files.entry)
    features = encoder.network.encode(images)
    assert relative_error(plain.encode(images), features) < 1e-5
    steps = plain.memory_steps
    assert steps is not None
    arguments = sam2_decoder_probe(model, features)
    found, expected = steps.decode(*arguments), model.answer(*arguments)
    assert relative_error((found.logits, found.tokens), (expected.logits, expected.tokens)) < 1e-5
    looked = attention_probe(model)
    assert (
        relative_error((steps.attend_to_memories(*looked),), (model.memory_attention.attend_to_memories(*looked),))
        < 1e-5
    )
