"""Dice of the default strategy on the public cases, against stored values minus a small margin."""

from __future__ import annotations

import pytest

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor

MARGIN = 0.02
CHEST = {"right lung": 0.875, "left lung": 0.871, "thoracic vertebral column": 0.588}
LUNG_WINDOW = {"right lung, ct-lung": 0.876, "left lung, ct-lung": 0.850}
SHARED_CASES = {"brain tumour": 0.818, "lesion 000001": 0.920, "lesion 000009": 0.948, "lesion 000015": 0.823}


def check(predictor: SlicePredictor, case: object, stored: float) -> None:
    with open_session(predictor, case.image, geometry=case.geometry, window=case.window) as session:  # type: ignore[attr-defined]
        result = session.propagate([case.box])  # type: ignore[attr-defined]
    assert dice(result.mask, case.reference) >= stored - MARGIN  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CHEST)
def test_organs_of_the_chest_ct(name: str, lite_predictor: SlicePredictor) -> None:
    from cases import chest_cases

    check(lite_predictor, next(case for case in chest_cases() if case.name == name), CHEST[name])


@pytest.mark.parametrize("name", LUNG_WINDOW)
def test_lungs_in_the_window_that_slicer_picks_for_them(name: str, lite_predictor: SlicePredictor) -> None:
    from cases import lung_window_cases

    check(lite_predictor, next(case for case in lung_window_cases() if case.name == name), LUNG_WINDOW[name])


@pytest.mark.parametrize("name", SHARED_CASES)
def test_lesions_and_tumour(name: str, shared: object, lite_predictor: SlicePredictor) -> None:
    from cases import shared_cases

    check(lite_predictor, next(case for case in shared_cases() if case.name == name), SHARED_CASES[name])
