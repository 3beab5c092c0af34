"""In reference mode the handover gives the official script's 3D masks, voxel for voxel."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.evaluation.metrics import dice, normalized_surface_dice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import Segmentation3D

Segment = Callable[[str, list[Box]], Segmentation3D]
STEMS = ("CT_Lesion_000001_02_01_008-023", "CT_Lesion_000009_03_01_036-048", "CT_Lesion_000015_01_01_103-115")


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, NDArray]:
    with np.load(shared / "reference" / "golden" / "lite_real_3d.npz", allow_pickle=False) as file:
        return dict(file)


def official_box(numbers: NDArray) -> Box:
    x0, y0, z0, x1, y1, z1 = (int(n) for n in numbers)
    return Box(i=(x0, x1), j=(y0, y1), k=(z0, z1))


@pytest.fixture(scope="module")
def segment(lite_predictor: SlicePredictor, shared: Path) -> Iterator[Segment]:
    """Segments boxes of a case; a case is opened once, and its slices stay encoded for the next test."""
    with ExitStack() as opened:

        @functools.cache
        def session_on(stem: str) -> VolumeSession:
            images = np.load(shared / "data" / f"{stem}.npz", allow_pickle=False)["imgs"]
            return opened.enter_context(open_session(lite_predictor, images, window="none", mode="reference"))

        yield lambda stem, boxes: session_on(stem).propagate(boxes, strategy="handover")


@pytest.mark.parametrize("stem", STEMS)
def test_the_lesion_masks_equal_the_official_ones(
    stem: str, golden: dict[str, NDArray], shared: Path, segment: Segment
) -> None:
    case = np.load(shared / "data" / f"{stem}.npz", allow_pickle=False)
    result = segment(stem, [official_box(golden[f"{stem}_box"])])
    bits = np.unpackbits(golden[f"{stem}_bits"])[: case["imgs"].size]
    official = bits.reshape(case["imgs"].shape).astype(bool)
    assert int((result.mask != official).sum()) == 0
    benchmark = json.loads((shared / "reference" / "lesion_benchmark.json").read_text())
    stated = next(c["official_3d_shift0"] for c in benchmark["cases"] if c["case"] == stem)
    x, y, z = (float(s) for s in case["spacing"])
    assert dice(result.mask, case["gts"] > 0) == pytest.approx(stated["dice"], abs=1e-4)
    surface = normalized_surface_dice(result.mask, case["gts"] > 0, (z, y, x), 2.0)
    assert surface == pytest.approx(stated["nsd_spacing_zyx"], abs=0.005)


def test_the_second_object_of_the_same_box_repeats_the_official_label_value_effect(
    golden: dict[str, NDArray], segment: Segment
) -> None:
    stem = str(golden["twice_case"])
    box = official_box(golden[f"{stem}_box"])
    result = segment(stem, [box, box])
    assert np.array_equal(result.label_map(), golden["twice_labels"])
    first, second = (item.mask for item in result.objects)
    assert int((first != second).sum()) == 1
