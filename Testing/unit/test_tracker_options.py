"""What the memory tracker does on volumes, on videos, and as the official predictors do."""

from __future__ import annotations

from dataclasses import asdict

from MedSAMSegmentLib.inference.tracker_options import POINTER_FRAMES, TrackerOptions, tracker_options

VOLUMES = {
    "stability_fallback": True,
    "binarize_prompted": True,
    "fill_hole_area": 0,
    "non_overlapping": False,
    "corrections": "conditioning",
    "separate_directions": True,
    "start_at_first_prompt": True,
    "shared_conditioning": False,
    "retained_frames": 64,
}
MEDSAM2 = {
    **VOLUMES,
    "corrections": "kept",
    "separate_directions": False,
    "start_at_first_prompt": False,
    "shared_conditioning": True,
    "retained_frames": None,
}
EFFICIENTTAM = {**MEDSAM2, "corrections": "overwritten", "shared_conditioning": False}


def test_volumes_are_followed_by_what_the_networks_were_trained_for() -> None:
    assert POINTER_FRAMES == 16
    for family in ("MedSAM2", "Efficient MedSAM2"):
        assert asdict(tracker_options(family)) == VOLUMES


def test_the_reference_repeats_the_family_s_own_predictor() -> None:
    assert asdict(tracker_options("MedSAM2", reference=True)) == MEDSAM2
    assert asdict(tracker_options("Efficient MedSAM2", reference=True)) == EFFICIENTTAM


def test_a_video_has_no_post_processing_and_objects_that_do_not_overlap() -> None:
    video = {"stability_fallback": False, "binarize_prompted": False, "fill_hole_area": 0, "non_overlapping": True}
    assert asdict(TrackerOptions(fill_hole_area=8).for_video()) == {**VOLUMES, **video}
