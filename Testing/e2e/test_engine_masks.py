"""OpenVINO in float32 gives the masks of torch on a real CT slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.engines.openvino_model import openvino_trouble
from MedSAMSegmentLib.inference.open import load_predictor
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor, SlicePrompts
from MedSAMSegmentLib.intensity import to_uint8

PIXELS = 3
"""So many pixels of a mask may differ: those whose logit is next to nothing."""

pytestmark = pytest.mark.skipif(bool(openvino_trouble()), reason=openvino_trouble())


@pytest.fixture(scope="module")
def openvino_predictor(lite_checkpoint: Path) -> SlicePredictor:
    return load_predictor("lite_medsam", weights=lite_checkpoint, device="cpu", precision="float32", engine="openvino")


def a_slice(position: float) -> tuple[NDArray[np.uint8], SlicePrompts]:
    """One of a chest CT with the box around the right lung."""
    from cases import wide_window_cases

    case = next(wide_window_cases())
    first, last = case.box.k
    index = round(first + position * (last - first))
    pixels = np.ascontiguousarray(to_uint8(case.image, case.window).volume_u8[index])
    rows, columns = np.nonzero(case.reference[index])
    box = (float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max()))
    return pixels, SlicePrompts(box_xyxy=box)


@pytest.mark.parametrize("position", [0.3, 0.6])
def test_masks_of_openvino_are_those_of_torch(
    position: float, openvino_predictor: SlicePredictor, lite_predictor: SlicePredictor
) -> None:
    pixels, prompts = a_slice(position)
    other = openvino_predictor
    assert other.engine.name == "openvino"
    reference = lite_predictor.with_torch()
    expected = reference.predict(reference.encode(pixels), prompts)
    found = other.predict(other.encode(pixels), prompts)
    assert expected.mask.sum() > 500
    assert np.count_nonzero(found.mask != expected.mask) <= PIXELS
    assert found.score == pytest.approx(expected.score, abs=1e-3)
