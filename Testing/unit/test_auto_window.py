"""The window that "auto" takes for what was outlined, on real images that packages carry or that lie in `../shared`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from MedSAMSegmentLib.auto_window import window_of_objects, window_of_prompts
from MedSAMSegmentLib.commands.demo import load_chest
from MedSAMSegmentLib.geometry import take_slice
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.prompts import Box, MaskPrompt

SHARED = Path(os.environ.get("MEDSAM_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data"

MARGINS = (0.0, 0.05, 0.1)
"""How much wider a box is drawn than the object is."""

Masks = dict[str, NDArray[np.bool_]]
Chest = tuple[Volume, Masks]


@pytest.fixture(scope="module")
def chest() -> Chest:
    return load_chest()


def widened(box: Box, margin: float, shape: tuple[int, ...]) -> Box:
    """Return the box wider by a part of each side; what is one voxel thick stays so."""
    bounds = []
    for (first, last), size in zip(box.bounds_zyx, shape, strict=True):
        more = round((last - first + 1) * margin / 2) if last > first else 0
        bounds.append((max(first - more, 0), min(last + more, size - 1)))
    return Box(k=bounds[0], j=bounds[1], i=bounds[2])


def slice_at(mask: NDArray[np.bool_], axis: int, part: float) -> NDArray[np.bool_]:
    """Return the mask on one slice alone: the one that lies at a part of its slices across `axis`."""
    slices = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    only = np.zeros_like(mask)
    at = [slice(None)] * 3
    at[axis] = slice(slices[int(len(slices) * part)], slices[int(len(slices) * part)] + 1)
    only[tuple(at)] = mask[tuple(at)]
    return only


def windows_for(volume: Volume, mask: NDArray[np.bool_]) -> set[str]:
    """Return the windows of the box round a mask, drawn tightly and wider."""
    boxes = [widened(Box.around(mask), margin, mask.shape) for margin in MARGINS]
    return {window_of_prompts(volume.array_zyx, volume.modality, [box]) for box in boxes}


@pytest.mark.parametrize("name", ["right lung", "left lung"])
def test_a_3d_box_round_a_lung_means_the_lung_window(name: str, chest: Chest) -> None:
    volume, masks = chest
    assert windows_for(volume, masks[name]) == {"ct-lung"}


@pytest.mark.parametrize("name", ["right lung", "left lung"])
@pytest.mark.parametrize(
    ("axis", "part"),
    [
        *((0, p) for p in (1 / 6, 1 / 2, 5 / 6)),
        *((1, p) for p in (1 / 6, 1 / 2, 5 / 6)),
        *((2, p) for p in (0.3, 0.5, 0.7)),
    ],
)
def test_a_box_on_a_slice_of_each_third_of_a_lung_means_the_lung_window(
    name: str, axis: int, part: float, chest: Chest
) -> None:
    volume, masks = chest
    assert windows_for(volume, slice_at(masks[name], axis, part)) == {"ct-lung"}


@pytest.mark.parametrize("name", ["right lung", "left lung"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_paint_on_a_lung_means_the_lung_window(name: str, axis: int, chest: Chest) -> None:
    volume, masks = chest
    on_slice = slice_at(masks[name], axis, 0.5)
    index = Box.around(on_slice).along(axis)[0]
    painted = MaskPrompt(axis, index, take_slice(on_slice, axis, index))
    assert window_of_prompts(volume.array_zyx, volume.modality, [painted]) == "ct-lung"


@pytest.mark.parametrize("name", [f"{part} vertebral column" for part in ("cervical", "thoracic", "lumbar")])
def test_a_box_round_a_spine_means_the_bone_window(name: str, chest: Chest) -> None:
    volume, masks = chest
    assert windows_for(volume, masks[name]) == {"ct-bone"}
    for part in (1 / 6, 1 / 2, 5 / 6):
        assert windows_for(volume, slice_at(masks[name], 0, part)) == {"ct-bone"}


@pytest.mark.parametrize(
    "box",
    [
        Box(i=(41, 76), j=(61, 96), k=(15, 15)),
        Box(i=(41, 76), j=(61, 96), k=(11, 18)),
        Box(i=(52, 64), j=(49, 59), k=(15, 15)),
        Box(i=(52, 110), j=(34, 108), k=(6, 6)),
        Box(i=(52, 110), j=(34, 108), k=(1, 8)),
    ],
    ids=["heart", "heart, 3D", "aorta", "liver", "liver, 3D"],
)
def test_soft_tissue_stays_in_the_abdomen_window(box: Box, chest: Chest) -> None:
    volume, _ = chest
    k, j, i = (slice(first, last + 1) for first, last in box.bounds_zyx)
    assert 0 < np.median(volume.array_zyx[k, j, i]) < 80, "the box lies on soft tissue"
    boxes = [widened(box, margin, volume.array_zyx.shape) for margin in MARGINS]
    assert {window_of_prompts(volume.array_zyx, volume.modality, [wider]) for wider in boxes} == {"auto"}
    assert "CT abdomen" in to_uint8(volume.array_zyx).description


@pytest.fixture(scope="module")
def abdomen() -> Chest:
    """Three slices of 512 x 512 with liver, heart and spine, whose masks lie on a grid of their own."""
    if not (SHARED / "new" / "ct_3slice_01.dcm").is_file():
        pytest.skip("needs ../shared/data/new")
    image = sitk.ReadImage([str(SHARED / "new" / f"ct_3slice_0{n}.dcm") for n in (1, 2, 3)])
    nearest = (sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    masks = {}
    for name in ("liver", "heart", "spine"):
        labels = sitk.ReadImage(str(SHARED / "new" / f"ct_3slice_{name}.nrrd"))
        masks[name] = sitk.GetArrayFromImage(sitk.Resample(labels, image, *nearest)) > 0
    first = read_volume(SHARED / "new" / "ct_3slice_01.dcm")
    return Volume(sitk.GetArrayFromImage(image), first.geometry, first.source, first.kind, "CT"), masks


@pytest.mark.parametrize(("name", "expected"), [("liver", "auto"), ("heart", "auto"), ("spine", "ct-bone")])
def test_organs_of_a_ct_with_contrast_medium(name: str, expected: str, abdomen: Chest) -> None:
    volume, masks = abdomen
    assert windows_for(volume, masks[name]) == {expected}
    assert windows_for(volume, slice_at(masks[name], 0, 0.5)) == {expected}
    assert "CT abdomen" in to_uint8(volume.array_zyx, modality="CT").description


def dicom(name: str) -> Volume:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), "a file that the package carries"
    return read_volume(Path(path))


def on_slice(i: tuple[int, int], j: tuple[int, int]) -> Box:
    return Box(i=i, j=j, k=(0, 0))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (on_slice((41, 78), (5, 85)), "ct-bone"),
        (on_slice((41, 78), (5, 48)), "ct-bone"),
        (on_slice((44, 72), (43, 62)), "auto"),
        (on_slice((20, 60), (85, 125)), "auto"),
        (on_slice((73, 105), (0, 25)), "auto"),
    ],
    ids=["vertebra", "its body, marrow in the middle", "spinal canal", "muscle", "aorta with contrast medium"],
)
def test_what_lies_around_a_vertebra(box: Box, expected: str) -> None:
    volume = dicom("CT_small.dcm")
    assert window_of_prompts(volume.array_zyx, volume.modality, [box]) == expected


@pytest.mark.parametrize(
    ("file", "box"),
    [
        ("J2K_pixelrep_mismatch.dcm", on_slice((111, 418), (256, 409))),
        ("J2K_pixelrep_mismatch.dcm", on_slice((111, 239), (170, 273))),
        ("J2K_pixelrep_mismatch.dcm", on_slice((290, 341), (307, 358))),
        ("693_J2KI.dcm", on_slice((145, 392), (128, 426))),
        ("693_J2KI.dcm", on_slice((170, 221), (170, 238))),
    ],
    ids=["cerebellum", "temporal lobe", "a lesion in the cerebellum", "brain", "a lesion in the brain"],
)
def test_what_lies_within_the_skull_means_the_brain_window(file: str, box: Box) -> None:
    volume = dicom(file)
    assert window_of_prompts(volume.array_zyx, volume.modality, [box]) == "ct-brain"


def test_stored_values_that_are_no_hu_are_left_to_the_range() -> None:
    volume = dicom("CT_small.dcm")
    vertebra = on_slice((41, 78), (5, 85))
    raw = volume.array_zyx + 1024
    assert window_of_prompts(raw, "CT", [vertebra]) == "auto"
    scored = (volume.array_zyx - volume.array_zyx.mean()) / volume.array_zyx.std()
    assert window_of_prompts(scored, "CT", [vertebra]) == "auto"
    assert window_of_prompts(scored, None, [vertebra]) == "auto"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("MR_small.dcm", "MR"),
        ("examples_overlay.dcm", "MR"),
        ("JPEG2000.dcm", "PET"),
        ("examples_rgb_color.dcm", "colour"),
    ],
)
def test_other_kinds_of_image_have_one_window_whatever_the_box(file: str, words: str) -> None:
    volume = dicom(file)
    height, width = volume.array_zyx.shape[1:3]
    box = on_slice((width // 4, width // 2), (height // 4, height // 2))
    assert window_of_prompts(volume.array_zyx, volume.modality, [box]) == "auto"
    result = to_uint8(volume.array_zyx, modality=volume.modality)
    assert result.description.removeprefix("auto: ").startswith(words)
    assert np.ptp(result.volume_u8) >= 250


def test_uptake_starts_at_zero_on_a_whole_body_scan() -> None:
    scan = dicom("JPEG2000.dcm")
    result = to_uint8(scan.array_zyx, modality="PT")
    assert result.window is not None
    assert result.window.lo == 0
    assert result.volume_u8[scan.array_zyx <= 0].max() == 0


def test_ultrasound_is_kept_as_it_is() -> None:
    colour = dicom("examples_ybr_color.dcm").array_zyx
    assert np.array_equal(to_uint8(colour, modality="US").volume_u8, colour)
    grey = colour[..., 0]
    assert np.array_equal(to_uint8(grey, modality="US").volume_u8, grey)


@pytest.fixture
def a_brain() -> NDArray[np.float64]:
    path = SHARED / "brain1_image.nrrd"
    if not path.is_file():
        pytest.skip("needs ../shared/data")
    return read_volume(path).array_zyx.astype(np.float64)


@pytest.mark.parametrize("modality", [None, "MR", "CT"])
def test_a_z_scored_image_is_shown_as_the_image_was(modality: str | None, a_brain: NDArray[np.float64]) -> None:
    scored = to_uint8((a_brain - a_brain.mean()) / a_brain.std(), modality=modality).volume_u8
    assert np.corrcoef(scored.ravel(), to_uint8(a_brain, modality="MR").volume_u8.ravel())[0, 1] > 0.99
    tissue = a_brain > np.percentile(a_brain[a_brain > 0], 30)
    assert (scored[tissue] == 0).mean() < 0.02, "what lies below the mean is not lost"


def test_the_background_of_an_image_that_was_z_scored_within_a_mask_stays_black(a_brain: NDArray[np.float64]) -> None:
    tissue = a_brain > a_brain.mean()
    scored = np.zeros_like(a_brain)
    scored[tissue] = (a_brain[tissue] - a_brain[tissue].mean()) / a_brain[tissue].std()
    shown = to_uint8(scored).volume_u8
    assert shown[~tissue].max() == 0
    assert (shown[tissue] == 0).mean() < 0.02


def test_objects_share_a_window_where_all_ask_for_it_and_else_tell_theirs(chest: Chest) -> None:
    volume, masks = chest
    lungs = [[Box.around(masks[f"{side} lung"])] for side in ("right", "left")]
    spine = [Box.around(masks["thoracic vertebral column"])]

    def window(*objects: list[Box]) -> tuple[str, tuple[str, ...]]:
        return window_of_objects(volume.array_zyx, volume.modality, objects)

    assert window(*lungs) == ("ct-lung", ())
    assert window(spine) == ("ct-bone", ())
    assert window(lungs[0], spine, lungs[1]) == ("auto", ("ct-lung", "ct-bone"))
    assert window() == ("auto", ())
