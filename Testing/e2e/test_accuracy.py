"""Dice of the default strategy on the public cases, against stored values minus a small margin."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cases import Case, chest_cases, shared_cases, wide_window_cases

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor

MARGIN = 0.02
CHEST = {"right lung": 0.967, "left lung": 0.965, "thoracic vertebral column": 0.665}
WIDE_WINDOW = {"right lung, wide": 0.962, "left lung, wide": 0.955, "thoracic vertebral column, wide": 0.588}
SHARED_CASES = {"brain tumour": 0.594, "lesion 000001": 0.919, "lesion 000009": 0.944, "lesion 000015": 0.846}


def found(predictor: SlicePredictor, cases: Iterable[Case]) -> dict[str, float]:
    """Dice of each case by name; cases of one image, where those in one window share what is encoded."""
    together = list(cases)
    scores = {}
    for window in dict.fromkeys(case.window for case in together):
        same = [case for case in together if case.window == window]
        with open_session(predictor, same[0].image, geometry=same[0].geometry, window=window) as session:
            result = session.propagate([case.box for case in same])
        objects = zip(same, result.objects, strict=True)
        scores.update({case.name: dice(item.mask, case.reference) for case, item in objects})
    return scores


@pytest.fixture(scope="module")
def chest(lite_predictor: SlicePredictor) -> dict[str, float]:
    return found(lite_predictor, chest_cases())


@pytest.fixture(scope="module")
def wide(lite_predictor: SlicePredictor) -> dict[str, float]:
    return found(lite_predictor, wide_window_cases())


@pytest.mark.parametrize("name", CHEST)
def test_organs_of_the_chest_in_the_window_that_is_picked_for_them(name: str, chest: dict[str, float]) -> None:
    assert chest[name] >= CHEST[name] - MARGIN


@pytest.mark.parametrize("name", WIDE_WINDOW)
def test_organs_of_the_chest_in_one_window(name: str, wide: dict[str, float]) -> None:
    assert wide[name] >= WIDE_WINDOW[name] - MARGIN


@pytest.mark.parametrize("name", SHARED_CASES)
def test_lesions_and_tumour(name: str, shared: object, lite_predictor: SlicePredictor) -> None:
    case = next(case for case in shared_cases() if case.name == name)
    assert found(lite_predictor, [case])[name] >= SHARED_CASES[name] - MARGIN
