"""Dice of the default strategy on the public cases, against stored values minus a small margin."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cases import Case, chest_cases, lung_window_cases, shared_cases

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor

MARGIN = 0.02
CHEST = {"right lung": 0.875, "left lung": 0.871, "thoracic vertebral column": 0.588}
LUNG_WINDOW = {"right lung, ct-lung": 0.876, "left lung, ct-lung": 0.850}
SHARED_CASES = {"brain tumour": 0.818, "lesion 000001": 0.920, "lesion 000009": 0.948, "lesion 000015": 0.823}


def found(predictor: SlicePredictor, cases: Iterable[Case]) -> dict[str, float]:
    """Dice of each case by name; cases of one image and window, which share what is encoded."""
    together = list(cases)
    first = together[0]
    with open_session(predictor, first.image, geometry=first.geometry, window=first.window) as session:
        result = session.propagate([case.box for case in together])
    objects = zip(together, result.objects, strict=True)
    return {case.name: dice(item.mask, case.reference) for case, item in objects}


@pytest.fixture(scope="module")
def chest(lite_predictor: SlicePredictor) -> dict[str, float]:
    return found(lite_predictor, chest_cases())


@pytest.fixture(scope="module")
def lungs(lite_predictor: SlicePredictor) -> dict[str, float]:
    return found(lite_predictor, lung_window_cases())


@pytest.mark.parametrize("name", CHEST)
def test_organs_of_the_chest_ct(name: str, chest: dict[str, float]) -> None:
    assert chest[name] >= CHEST[name] - MARGIN


@pytest.mark.parametrize("name", LUNG_WINDOW)
def test_lungs_in_the_window_that_is_picked_for_them(name: str, lungs: dict[str, float]) -> None:
    assert lungs[name] >= LUNG_WINDOW[name] - MARGIN


@pytest.mark.parametrize("name", SHARED_CASES)
def test_lesions_and_tumour(name: str, shared: object, lite_predictor: SlicePredictor) -> None:
    case = next(case for case in shared_cases() if case.name == name)
    assert found(lite_predictor, [case])[name] >= SHARED_CASES[name] - MARGIN
