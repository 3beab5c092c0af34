"""Settings of the memory tracker: what the networks were trained for, and where we depart from the official code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Corrections: TypeAlias = Literal["conditioning", "kept", "overwritten"]

POINTER_FRAMES = 16
"""A frame attends to the object pointers of at most this many frames, itself included."""


@dataclass(frozen=True)
class TrackerOptions:
    """The defaults are those for volumes.

    `stability_fallback`: an unstable mask of a box or of several clicks gives way to the best of three candidates.
    `binarize_prompted`: frames with a prompt enter the memory as 0 or 1, not as probabilities.
    `fill_hole_area`: background spots of up to so many low-resolution pixels become object; 0 is off.
    `non_overlapping`: a pixel belongs to one object only, the one with the highest logit.
    `corrections`: a prompt on a frame that was tracked before makes it a "conditioning" frame, which every other
    frame attends to; "kept" (official MedSAM2) only keeps its mask, and loses a correction of a key frame;
    "overwritten" (official EfficientTAM) tracks it again and so loses the correction.
    `separate_directions`: a backward pass does not attend to what a forward pass produced.
    `start_at_first_prompt`: an object is tracked from its own first prompt on, not from the first of any object.
    `shared_conditioning`: a frame with a prompt for one object is a key frame of all, empty for those without one.
    `retained_frames`: so many of the latest frames keep their memory; None keeps all.
    """

    stability_fallback: bool = True
    binarize_prompted: bool = True
    fill_hole_area: int = 0
    non_overlapping: bool = False
    corrections: Corrections = "conditioning"
    separate_directions: bool = True
    start_at_first_prompt: bool = True
    shared_conditioning: bool = False
    retained_frames: int | None = 4 * POINTER_FRAMES

    @classmethod
    def official_medsam2(cls) -> TrackerOptions:
        """Return the behaviour of MedSAM2's `SAM2VideoPredictor`, with its faults."""
        return cls(
            corrections="kept",
            separate_directions=False,
            start_at_first_prompt=False,
            shared_conditioning=True,
            retained_frames=None,
        )

    @classmethod
    def official_efficienttam(cls) -> TrackerOptions:
        """Return the behaviour of EfficientTAM's video predictor, with its faults."""
        return replace(cls.official_medsam2(), corrections="overwritten", shared_conditioning=False)

    def for_video(self) -> TrackerOptions:
        """Return the settings of `medsam2_infer_video.py`: no post-processing, objects that do not overlap."""
        return replace(self, stability_fallback=False, binarize_prompted=False, fill_hole_area=0, non_overlapping=True)


def tracker_options(family: str, *, reference: bool = False) -> TrackerOptions:
    """Return the settings for a registry family; with `reference` those of its official predictor."""
    if not reference:
        return TrackerOptions()
    return TrackerOptions.official_efficienttam() if "Efficient" in family else TrackerOptions.official_medsam2()
