"""The public cases with reference masks, and the 3D box that a user would draw on each.

Seven cases stand in the issue tracker's table: three organs of `slicerio`'s chest CT, a brain tumour in MR and three
CT lesions. The last four are not part of the repository; they are used where `../shared/data` (or MEDSAM_SHARED) is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAMSegmentLib.commands.demo import ORGANS, WIDE_WINDOW, load_chest
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.plan import middle_slice
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.prompts import Box

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))


@dataclass(frozen=True, eq=False)
class Case:
    """`image` (z,y,x) in its own numbers, `reference` (z,y,x) bool.

    `box` is the 3D box around the reference; `outline` has its slices, but in the plane the reference's middle slice.
    """

    name: str
    image: NDArray
    geometry: VolumeGeometry
    window: str
    reference: NDArray[np.bool_]
    box: Box
    outline: Box


def chest_cases() -> Iterator[Case]:
    volume, references = load_chest()
    for organ in ORGANS:
        yield make_case(organ.name, volume.array_zyx, volume.geometry, WIDE_WINDOW, references[organ.name])


def shared_cases() -> Iterator[Case]:
    """The brain tumour and the three lesions; nothing when the folder is missing."""
    data = SHARED / "data"
    if not data.is_dir():
        return
    brain = read_volume(data / "brain1_image.nrrd")
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "brain1_label.nrrd"))) > 0
    yield make_case("brain tumour", brain.array_zyx, brain.geometry, "mr", label)
    for path in sorted(data.glob("CT_Lesion_*.npz")):
        arrays = np.load(path, allow_pickle=False)
        x, y, z = (float(v) for v in arrays["spacing"])
        geometry = VolumeGeometry.from_spacing(arrays["imgs"].shape, (z, y, x))
        name = f"lesion {path.stem.split('_')[2]}"
        yield make_case(name, arrays["imgs"], geometry, "none", arrays["gts"] > 0)


def all_cases() -> list[Case]:
    return [*chest_cases(), *shared_cases()]


def make_case(name: str, image: NDArray, geometry: VolumeGeometry, window: str, reference: NDArray[np.bool_]) -> Case:
    return Case(name, image, geometry, window, reference, Box.around(reference), box_from_middle_slice(reference))


def box_from_middle_slice(mask_zyx: NDArray[np.bool_]) -> Box:
    """The box a user would draw: the object's outline on its middle slice, over the slices it spans."""
    whole = Box.around(mask_zyx)
    middle = middle_slice(*whole.k)
    outline = Box.around(mask_zyx[middle][None])
    return Box(i=outline.i, j=outline.j, k=whole.k)
