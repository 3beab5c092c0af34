"""Volumes on disk that the io tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.itk import image_from_array


@pytest.fixture
def slicerio_data() -> Path:
    import slicerio

    return Path(slicerio.__file__).parent / "data"


@pytest.fixture
def an_oblique_geometry() -> VolumeGeometry:
    """(5,6,7) voxels of 3 x 0.8 x 0.7 mm, turned about all axes, k pointing down."""
    turn = np.array(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5).GetMatrix()).reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([1.0, 1.0, -1.0]) * (0.7, 0.8, 3.0)
    matrix[:3, 3] = (12.5, -30.25, 105.0)
    return VolumeGeometry((5, 6, 7), matrix)


@pytest.fixture
def an_array() -> np.ndarray:
    return np.random.default_rng(3).integers(-1000, 1500, (5, 6, 7)).astype(np.int16)


@pytest.fixture
def write_image(tmp_path: Path, an_oblique_geometry: VolumeGeometry):
    """Write an array (5,6,7) on the oblique grid and give its path."""

    def write(array: np.ndarray, name: str) -> Path:
        sitk.WriteImage(image_from_array(array, an_oblique_geometry), str(tmp_path / name))
        return tmp_path / name

    return write
