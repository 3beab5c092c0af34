"""Simulated clicks with the real weights: each voxel is right afterwards, and no click costs what was right before."""

from __future__ import annotations

import numpy as np
from cases import chest_cases, part_of
from clicks import ALLOWED_LOSS, CACHE_BYTES, next_click

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.prompts import Point


def test_three_clicks_on_a_spine(lite_predictor: SlicePredictor) -> None:
    # Eight of its slices, of which the answer to the box alone is poor.
    case = part_of(next(case for case in chest_cases() if case.name == "thoracic vertebral column"), slice(14, 22))
    clicks: list[Point] = []
    with open_session(
        lite_predictor, case.image, geometry=case.geometry, window=case.window, cache_bytes=CACHE_BYTES
    ) as session:
        mask = session.propagate([case.box]).objects[0].mask
        scores, asked = [dice(mask, case.reference)], session.counters.predictions
        for _ in range(3):
            click = next_click(mask, case.reference)
            assert click is not None
            clicks.append(click)
            mask = session.propagate([[case.box, *clicks]]).objects[0].mask
            scores.append(dice(mask, case.reference))
            assert all(bool(mask[int(p.k), int(p.j), int(p.i)]) == p.positive for p in clicks)
        assert session.counters.predictions == asked, "a click computes nothing anew"
    assert np.diff(scores).min() >= -ALLOWED_LOSS
    assert scores[-1] >= scores[0] + 0.02
