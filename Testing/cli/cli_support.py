"""What the command line tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

Run = Callable[..., subprocess.CompletedProcess]


def an_oblique_image(slices: int = 3) -> sitk.Image:
    """A bright ellipsoid in noise, on a rotated, anisotropic grid."""
    rng = np.random.default_rng(5)
    z, y, x = np.ogrid[:slices, :72, :96]
    inside = ((z - slices // 2) / max(1, slices)) ** 2 + ((y - 34) / 18.0) ** 2 + ((x - 50) / 24.0) ** 2 <= 1
    array = (rng.normal(40, 8, (slices, 72, 96)) + 120 * inside).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    angle = np.deg2rad(17)
    direction = [np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1]
    image.SetDirection(direction)
    image.SetSpacing((0.8, 0.9, 4.0))
    image.SetOrigin((-11.0, 23.0, 101.0))
    return image
