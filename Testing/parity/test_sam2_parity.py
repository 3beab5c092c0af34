"""MedSAM2 and EfficientTAM against the official code, case by case, within the limits of the reference's table."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sam2_golden as golden

pytestmark = pytest.mark.skipif(
    not golden.GOLDEN.is_dir(), reason=f"the reference files are not there: {golden.GOLDEN}"
)

CASES = [(name, case) for name in golden.FAMILIES for case in golden.cases(name)]


@pytest.mark.parametrize("name", ["medsam2", "efftam_ti", "efftam_s"])
def test_the_network_has_exactly_the_official_keys_and_shapes(name: str) -> None:
    """Without weights: only the names count."""
    family = golden.FAMILIES[name]
    keys = json.loads((golden.REFERENCE / "state_dicts" / f"{family.state_dict}.json").read_text())["keys"]
    own = {key: list(value.shape) for key, value in family.builder().state_dict().items()}
    assert own == keys


@pytest.mark.parametrize("name", golden.FAMILIES)
def test_the_golden_files_are_those_that_are_expected(name: str) -> None:
    assert golden.cases_there(name) == set(golden.cases(name))


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_the_official_result_is_reproduced(name: str, case: str) -> None:
    expected, found = golden.run_case(name, case)
    comparison = golden.compare(expected, found)
    assert len(comparison.differences) >= 8
    assert comparison.problems == []


@pytest.mark.parametrize("name", ["medsam2", "efftam_ti"])
def test_our_defaults_track_both_ways_without_a_reset_as_the_official_script_does_with_one(name: str) -> None:
    with np.load(golden.GOLDEN / f"{name}_syn_box.npz") as file:
        expected = dict(file)
    found = golden.run_box_by_default(name, golden.frames_of(name), expected)
    assert golden.compare(expected, found).problems == []


def test_a_frame_is_encoded_once_for_all_objects_and_directions() -> None:
    frames = golden.Frames(golden.model_of("efftam_ti"), golden.frames_of("efftam_ti").volume[:3])
    tracker = golden.new_tracker("efftam_ti", frames, golden.TrackerOptions())
    for number, box in enumerate(((56, 53, 120, 99), (129, 97, 159, 135)), start=1):
        tracker.add_points(number, 1, box_xyxy=box)
    indices = [tracked.index for direction in (1, -1) for tracked in tracker.propagate(direction)]
    assert indices == [1, 2, 1, 0]
    assert frames.encoder.encodes == 3
