"""Known and unknown sizes of voxels: nothing is invented, and what a file lacks can be given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import UsageError
from ..geometry import VolumeGeometry
from .volume import Volume

NO_SPACING = "no spacing: mm and mL mean nothing (--spacing X Y Z sets it)"
NO_SLICE_SPACING = "no spacing between slices: mL means nothing (--spacing X Y Z sets it)"


def spacing_notes(known_zyx: tuple[bool, bool, bool]) -> tuple[str, ...]:
    """Return the sentence on a spacing that is not known, in the plane or between slices."""
    if not (known_zyx[1] and known_zyx[2]):
        return (NO_SPACING,)
    return () if known_zyx[0] else (NO_SLICE_SPACING,)


def with_spacing(volume: Volume, spacing_xyz: Sequence[float]) -> Volume:
    """Return the volume with voxels of `spacing_xyz` in mm along i, j and k, where it lies and as it is turned.

    Raises `UsageError` for what is no spacing.
    """
    if len(spacing_xyz) != 3 or not np.isfinite(spacing_xyz).all() or min(spacing_xyz) <= 0:
        raise UsageError("A spacing is three numbers above zero.", "Give millimetres along i, j and k.")
    matrix = np.array(volume.geometry.ijk_to_lps)
    matrix[:3, :3] *= np.asarray(spacing_xyz, float) / np.linalg.norm(matrix[:3, :3], axis=0)
    unsaid = [note for note in volume.notes if note not in (NO_SPACING, NO_SLICE_SPACING)]
    said = f"Spacing as given: {', '.join(f'{value:g}' for value in spacing_xyz)} mm along i, j, k."
    return replace(
        volume,
        geometry=VolumeGeometry(volume.geometry.shape_zyx, matrix),
        notes=(*unsaid, said),
        spacing_known_zyx=(True, True, True),
    )
