"""The automatic window of the command line: what was outlined has a say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.prompts import Box, Point
from MedSAMSegmentLib.runs.options import RunOptions, silent
from MedSAMSegmentLib.runs.segmenting import window_for

LUNG = Box(i=(5, 14), j=(5, 14), k=(1, 4))
LIVER = Box(i=(20, 28), j=(5, 14), k=(1, 4))


def a_chest(modality: str | None = None) -> Volume:
    """Air around a body of 40 HU with a lung of -850 HU."""
    array = np.full((6, 20, 32), -1000, dtype=np.int16)
    array[:, 2:18, 2:30] = 40
    array[:, 4:16, 4:16] = -850
    geometry = VolumeGeometry.from_spacing(array.shape, (5.0, 1.0, 1.0))
    return Volume(array, geometry, Path("chest.nrrd"), "nrrd", modality)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([[LUNG]], "ct-lung"),
        ([[LIVER]], "auto"),
        ([[LUNG], [LIVER]], "auto"),
        ([[LUNG], [LUNG]], "ct-lung"),
        ([[Point(8, 8, 2)]], "auto"),
    ],
)
def test_auto_is_the_lung_window_where_every_object_is_lung(objects: list, expected: str) -> None:
    options = RunOptions("chest.nrrd")
    assert window_for(options, a_chest(), objects, silent) == expected
    assert window_for(options, a_chest("CT"), objects, silent) == expected
    assert window_for(options, a_chest("MR"), objects, silent) == "auto"


def test_a_window_that_was_asked_for_and_reference_mode_stay() -> None:
    assert window_for(RunOptions("chest.nrrd", window="ct-bone"), a_chest(), [[LUNG]], silent) == "ct-bone"
    assert window_for(RunOptions("chest.nrrd", mode="reference"), a_chest(), [[LUNG]], silent) == "auto"


def test_objects_that_ask_for_different_windows_are_told_of() -> None:
    said: list[str] = []
    assert window_for(RunOptions("chest.nrrd"), a_chest(), [[LUNG], [LIVER]], said.append) == "auto"
    assert "different windows (ct-lung, auto)" in said.pop()
    window_for(RunOptions("chest.nrrd"), a_chest(), [[LUNG], [LUNG]], said.append)
    window_for(RunOptions("chest.nrrd"), a_chest(), [], said.append)
    assert said == []
