"""MedSAM (1024 pixels) through a session, with weights made from the tensors' names.

The whole network's numbers are those of the official one: Testing/parity/test_sam_parity.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.prompts import Box

PARITY = Path(__file__).resolve().parents[1] / "parity"


def test_medsam_answers_two_objects_on_one_slice_from_the_same_views() -> None:
    sys.path.insert(0, str(PARITY))
    try:
        from deterministic_weights import deterministic_state_dict
    finally:
        sys.path.remove(str(PARITY))
    entry = registry.get("medsam")
    module = build(entry.builder, **entry.builder_options)
    # Blocks of both kinds, with windows and without; the others do the same once more.
    module.image_encoder.blocks = module.image_encoder.blocks[:3]
    module.load_state_dict(deterministic_state_dict(module))
    device = DeviceChoice(torch.device("cpu"), torch.float32, "for a test")
    volume = np.random.default_rng(0).integers(0, 255, (1, 50, 70), dtype=np.uint8)
    with open_session(SlicePredictor(module, entry, device), volume, window="none") as session:
        boxes = [Box(i=(5, 40), j=(8, 30), k=(0, 0)), Box(i=(30, 65), j=(10, 45), k=(0, 0))]
        result = session.propagate(boxes)
        preview = session.segment_slice(0, 0, boxes[1])
    # As it is and inverted, and in each view a box is asked alone and with an ellipse.
    assert (result.encodes, result.predictions) == (2, 2 * 4)
    assert session.counters.encodes == 2
    assert np.array_equal(preview.mask, result.objects[1].mask[0])
    assert np.isfinite([item.slices[0].score for item in result.objects]).all()
