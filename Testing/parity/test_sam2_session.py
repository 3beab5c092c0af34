"""A session in reference mode against the official propagations, masks as they were shown."""

from __future__ import annotations

import numpy as np
import pytest
import sam2_golden as golden
import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import Segmentation3D

pytestmark = pytest.mark.skipif(
    not golden.GOLDEN.is_dir(), reason=f"the reference files are not there: {golden.GOLDEN}"
)

KEY = 6


@pytest.fixture(scope="module")
def session() -> VolumeSession:
    device = DeviceChoice(torch.device("cpu"), torch.float32, "for a test")
    predictor = SlicePredictor(golden.model_of("efftam_ti"), registry.get("efficienttam_ti"), device)
    volume = golden.frames_of("efftam_ti").volume
    return open_session(predictor, volume, window="none", mode="reference")


def a_box(values: np.ndarray) -> Box:
    x0, y0, x1, y1 = (int(v) for v in values)
    return Box(i=(x0, x1), j=(y0, y1), k=(KEY, KEY))


def assert_same_masks(result: Segmentation3D, number: int, expected: dict[int, np.ndarray]) -> None:
    """Dice of a whole propagation, as the reference's table of tolerances asks."""
    mask = result.objects[number].mask
    theirs = np.stack([expected[index] for index in range(len(mask))])
    dice = 2 * (mask & theirs).sum() / (mask.sum() + theirs.sum())
    assert theirs.any(axis=(1, 2)).all()
    assert dice >= 0.9995


def test_a_box_gives_the_official_masks_in_both_directions(session: VolumeSession) -> None:
    with np.load(golden.GOLDEN / "efftam_ti_syn_box.npz") as file:
        case = dict(file)
    shape = session.shape_zyx[1:]
    expected = {
        int(index): golden.unpack(bits, shape)
        for prefix in ("rev", "fwd")
        for index, bits in zip(case[f"{prefix}_frames"], case[f"{prefix}_video_bits"], strict=True)
    }
    result = session.propagate([a_box(case["box"])])
    assert_same_masks(result, 0, expected)
    assert result.encodes == session.shape_zyx[0]


def test_two_boxes_give_the_official_masks_from_features_that_are_there(session: VolumeSession) -> None:
    with np.load(golden.GOLDEN / "efftam_ti_syn_two.npz") as file:
        case = dict(file)
    shape = session.shape_zyx[1:]
    result = session.propagate([a_box(box) for box in case["boxes"]])
    for number in (0, 1):
        expected = {
            int(index): golden.unpack(bits[None], (2, *shape))[0][number]
            if bits.ndim == 1
            else golden.unpack(bits, shape)[number]
            for prefix in ("rev", "fwd")
            for index, bits in zip(case[f"{prefix}_frames"], case[f"{prefix}_video_bits"], strict=True)
        }
        assert_same_masks(result, number, expected)
    assert session.counters.encodes == session.shape_zyx[0]
