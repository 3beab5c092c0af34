"""Display orientation of a slice: turned and mirrored to the radiological convention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import IN_PLANE_AXES, VolumeGeometry

PATIENT_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""For x, y and z of LPS: the patient's side at the axis' low and high end."""


@dataclass(frozen=True)
class DisplayOrientation:
    """The turn of a slice (rows, columns) for display, and the patient letters at its left and top edge."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    left: str = ""
    top: str = ""

    def apply(self, image: NDArray) -> NDArray:
        turned = np.swapaxes(image, 0, 1) if self.transpose else image
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


def display_orientation(geometry: VolumeGeometry, axis: int) -> DisplayOrientation:
    """Return the turn after which the patient's right is at the left, front or head at the top."""
    rows, columns = (geometry.ijk_to_lps[:3, 2 - array_axis] for array_axis in IN_PLANE_AXES[axis])
    patient = [int(np.abs(vector).argmax()) for vector in (rows, columns)]
    if patient[0] == patient[1]:
        return DisplayOrientation()
    # Of two in-plane directions, head to foot goes down the screen before front to back, and that before right to left.
    transpose = patient[1] > patient[0]
    down, across = (columns, rows) if transpose else (rows, columns)
    vertical, horizontal = int(np.abs(down).argmax()), int(np.abs(across).argmax())
    flip_rows = bool(down[vertical] > 0) if vertical == 2 else bool(down[vertical] < 0)
    flip_columns = bool(across[horizontal] < 0)
    top = PATIENT_LETTERS[vertical][1 if vertical == 2 else 0]
    return DisplayOrientation(transpose, flip_rows, flip_columns, PATIENT_LETTERS[horizontal][0], top)
