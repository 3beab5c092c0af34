"""The public cases with reference masks, and the 3D box that a user would draw on each.

Seven cases stand in the issue tracker's table: three organs of `slicerio`'s chest CT, a brain tumour in MR and three
CT lesions. The last four are not part of the repository; they are used where `../shared/data` (or MEDSAM_SHARED) is.

Each is shown in the window that "auto" picks for its box. The organs of the chest are there once more in one window for
all of them.

`unseen_cases` only judges. Its tumours are the example data of pyradiomics, which its source distribution carries
(package `pyradiomics` 3.0.1, folder `data/`: `brain2`, `breast1`, `lung1` and `lung2`, each with `_image.nrrd` and
`_label.nrrd`), its brain the MNI152 template that the package `nilearn` carries (folder `nilearn/datasets/data/`: T1,
grey and white matter). MEDSAM_UNSEEN names a folder that holds these files; those that are missing are left out.

`torso_cases` only judges, too, small things above all (`zoom.py`). It is the example of TotalSegmentator, from
`tests/reference_files` of its repository: `example_ct_dicom` and `example_seg_dicom.nii.gz`, in MEDSAM_UNSEEN as well.
Its reference was made by that program's networks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAMSegmentLib.auto_window import window_of_prompts
from MedSAMSegmentLib.commands.demo import ORGANS, load_chest
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.plan import middle_slice
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.prompts import Box

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))

WIDE_WINDOW = "-1307.5/3433"
"""LEVEL/WIDTH from the 0.5 to the 99.5 percentile of the chest CT: one window for lungs and spine."""

UNSEEN_TUMOURS = {
    "brain2": ("mr",),
    "breast1": ("mr",),
    "lung1": ("ct-lung", "auto"),
    "lung2": ("ct-lung", "auto"),
}
"""Example volumes of pyradiomics and the windows that they are shown in."""

UNSEEN_ORGANS = ("lumbar vertebral column", "cervical vertebral column")
"""Segments of the chest CT beyond the seven cases. They had a say in one choice (Resources/docs/experiments.md)."""

MNI_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
MNI_STEP = 4
"""Every fourth slice of the template: 1 mm slices of a brain hardly differ from one to the next."""


TORSO_LEFT_OUT = frozenset({7, 64, 103, 115, 117})
"""Labels in pieces or at the edge of the torso's slices: pancreas, portal vein, the last ribs, cartilage."""

TORSO_LEAST = 200
"""Voxels: less of an organ is left out, too."""


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
        yield make_case(organ.name, volume.array_zyx, volume.geometry, "auto", references[organ.name])


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


def wide_window_cases() -> Iterator[Case]:
    """The organs of the chest CT in one window, in which each slice is encoded once for all of them."""
    volume, references = load_chest()
    for organ in ORGANS:
        name = f"{organ.name}, wide"
        yield make_case(name, volume.array_zyx, volume.geometry, WIDE_WINDOW, references[organ.name])


def unseen_cases() -> Iterator[Case]:
    """Two spines of the chest CT, and what the folder MEDSAM_UNSEEN holds of the tumours and the MNI template."""
    volume, references = load_chest()
    for name in UNSEEN_ORGANS:
        yield make_case(name, volume.array_zyx, volume.geometry, "auto", references[name])
    folder = os.environ.get("MEDSAM_UNSEEN")
    if folder:
        yield from _unseen_tumours(Path(folder))
        yield from _unseen_brain(Path(folder))


def _unseen_tumours(folder: Path) -> Iterator[Case]:
    for name, windows in UNSEEN_TUMOURS.items():
        if not (folder / f"{name}_image.nrrd").is_file():
            continue
        volume = read_volume(folder / f"{name}_image.nrrd")
        label = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}_label.nrrd"))) > 0
        for window in windows:
            yield make_case(f"{name}, {window}", volume.array_zyx, volume.geometry, window, label)


def _unseen_brain(folder: Path) -> Iterator[Case]:
    """The whole brain: where grey and white matter together are likelier than not."""
    paths = [folder / MNI_FILE.format(kind) for kind in ("t1", "gm", "wm")]
    if not all(path.is_file() for path in paths):
        return
    t1, grey, white = (read_volume(path).array_zyx[::MNI_STEP] for path in paths)
    brain = grey.astype(np.int64) + white > 255 / 2
    geometry = VolumeGeometry.from_spacing(t1.shape, (float(MNI_STEP), 1.0, 1.0))
    yield make_case("MNI brain", t1, geometry, "mr", brain)


def torso_cases() -> Iterator[Case]:
    """The organs and bones of TotalSegmentator's example CT, 20 slices of 512 x 512."""
    folder = Path(os.environ.get("MEDSAM_UNSEEN", ""))
    files = folder / "example_ct_dicom", folder / "example_seg_dicom.nii.gz"
    if not all(path.exists() for path in files):
        return
    volume = read_volume(files[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[0])))
    nearest = (sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    labels = sitk.GetArrayFromImage(sitk.Resample(sitk.ReadImage(str(files[1])), reader.Execute(), *nearest))
    for label in np.unique(labels[labels > 0]):
        reference = labels == label
        if label not in TORSO_LEFT_OUT and reference.sum() >= TORSO_LEAST:
            name, image, modality = f"torso, label {label}", volume.array_zyx, volume.modality
            yield make_case(name, image, volume.geometry, "auto", reference, modality=modality)


def all_cases() -> list[Case]:
    return [*chest_cases(), *shared_cases()]


def make_case(
    name: str,
    image: NDArray,
    geometry: VolumeGeometry,
    window: str,
    reference: NDArray[np.bool_],
    *,
    modality: str | None = None,
) -> Case:
    """Return a case; the window "auto" becomes the one that a user's box round the object gets."""
    box = Box.around(reference)
    if window == "auto":
        window = window_of_prompts(image, modality, [box])
    return Case(name, image, geometry, window, reference, box, box_from_middle_slice(reference))


def part_of(case: Case, slices: slice) -> Case:
    """Return a case of some of the slices, shown in the same window, with the box around what they hold."""
    image, reference = case.image[slices], case.reference[slices]
    geometry = VolumeGeometry.from_spacing(reference.shape, case.geometry.spacing_zyx)
    return make_case(case.name, image, geometry, case.window, reference)


def box_from_middle_slice(mask_zyx: NDArray[np.bool_]) -> Box:
    """The box a user would draw: the object's outline on its middle slice, over the slices it spans."""
    whole = Box.around(mask_zyx)
    middle = middle_slice(*whole.k)
    outline = Box.around(mask_zyx[middle][None])
    return Box(i=outline.i, j=outline.j, k=whole.k)
