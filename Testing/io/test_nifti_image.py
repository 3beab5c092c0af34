"""Images written as NIfTI for viewers, read again by SimpleITK and by our own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAMSegmentLib.errors import OutputError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.nifti_image import write_nifti_image
from MedSAMSegmentLib.io.read_volume import read_volume

SHAPE = (4, 5, 6)
GEOMETRY = VolumeGeometry.from_spacing(SHAPE, (3.0, 0.9, 0.8))


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64", ">i2"])
def test_values_and_place_come_back(tmp_path: Path, kind: str) -> None:
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(kind)
    write_nifti_image(tmp_path / "a.nii.gz", array, GEOMETRY)
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.9, 3.0), rtol=1e-6)
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz").geometry.ijk_to_lps, GEOMETRY.ijk_to_lps, atol=1e-6)


def test_colours_and_masks_come_back(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    write_nifti_image(tmp_path / "rgb.nii.gz", colours, GEOMETRY)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "rgb.nii.gz"))), colours)
    write_nifti_image(tmp_path / "mask.nii.gz", colours[..., 0] > 99, GEOMETRY)
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz")))
    np.testing.assert_array_equal(found, (colours[..., 0] > 99).astype(np.uint8))


@pytest.mark.parametrize("array", [np.zeros((*SHAPE, 3), np.int16), np.zeros(SHAPE, np.complex64)])
def test_what_nifti_1_has_no_type_for_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(OutputError, match="does not fit into NIfTI-1"):
        write_nifti_image(tmp_path / "a.nii.gz", array, GEOMETRY)
    assert not list(tmp_path.iterdir())


def test_an_axis_too_long_for_nifti_1_is_refused(tmp_path: Path) -> None:
    shape = (1, 1, 40_000)
    with pytest.raises(OutputError, match="does not fit into NIfTI-1"):
        write_nifti_image(tmp_path / "a.nii.gz", np.zeros(shape, np.uint8), VolumeGeometry.from_spacing(shape))
