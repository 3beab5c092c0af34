"""Dice of the default strategy on the public cases, against stored values minus a small margin.

The three organs of the chest in the window that is picked for them are judged by the demo:
Testing/packaging/test_wheel.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cases import Case, part_of, shared_cases, wide_window_cases

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor

MARGIN = 0.02
WIDE_WINDOW = {"right lung, wide": 0.969}
WIDE_SLICES = slice(14, 24)
"""Of the lung's 27 slices: each costs seconds, and the demo judges lungs from end to end."""

SHARED_CASES = {"brain tumour": 0.594, "lesion 000001": 0.919, "lesion 000009": 0.944, "lesion 000015": 0.846}


def named(cases: Iterable[Case], name: str) -> Case:
    return next(case for case in cases if case.name == name)


def score(predictor: SlicePredictor, case: Case) -> float:
    """Return the Dice of a case."""
    with open_session(predictor, case.image, geometry=case.geometry, window=case.window) as session:
        return dice(session.propagate([case.box]).objects[0].mask, case.reference)


@pytest.mark.parametrize("name", WIDE_WINDOW)
def test_an_organ_of_the_chest_in_a_wide_window(name: str, lite_predictor: SlicePredictor) -> None:
    case = part_of(named(wide_window_cases(), name), WIDE_SLICES)
    assert score(lite_predictor, case) >= WIDE_WINDOW[name] - MARGIN


@pytest.mark.parametrize("name", SHARED_CASES)
def test_lesions_and_tumour(name: str, shared: object, lite_predictor: SlicePredictor) -> None:
    assert score(lite_predictor, named(shared_cases(), name)) >= SHARED_CASES[name] - MARGIN
