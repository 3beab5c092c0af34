"""Volumes made of bright balls, in every shape that a scanner or a scene gives them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from unittest import SkipTest

import numpy as np
import slicer
from numpy.typing import NDArray

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.mrml.transforms import to_vtk

CT_VARIABLE = "MEDSAM_CT_CHEST"
"""Environment variable that names a local file of the sample CTChest; without it Slicer downloads the sample."""


@dataclass(frozen=True)
class Ball:
    """Centre i, j, k and radius, in voxels."""

    centre_ijk: tuple[float, float, float]
    radius: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """A volume node with balls of the value `inside` in `outside`; `ijk_to_ras` 4x4 places it."""

    balls: Sequence[Ball] = (Ball((24, 24, 8), 6),)
    shape_zyx: tuple[int, int, int] = (16, 48, 48)
    ijk_to_ras: NDArray[np.float64] = field(default_factory=lambda: np.diag([1.0, 1.0, 2.0, 1.0]))
    colour: bool = False
    dtype: str = "int16"
    inside: int = 200
    outside: int = 20

    @property
    def geometry(self) -> VolumeGeometry:
        return VolumeGeometry.from_ras(self.shape_zyx, self.ijk_to_ras)

    def ball(self, number: int) -> NDArray[np.bool_]:
        """One ball as a mask (z,y,x)."""
        k, j, i = np.indices(self.shape_zyx)
        ball = self.balls[number]
        ci, cj, ck = ball.centre_ijk
        return np.asarray((i - ci) ** 2 + (j - cj) ** 2 + (k - ck) ** 2 <= ball.radius**2)

    def node(self, name: str = "Phantom") -> Any:
        """The volume in the scene, shown in all slice views, which turn to its axes."""
        values = np.full(self.shape_zyx, self.outside)
        for number in range(len(self.balls)):
            values[self.ball(number)] = self.inside
        array = values.astype("uint8" if self.colour else self.dtype)
        class_name = "vtkMRMLVectorVolumeNode" if self.colour else "vtkMRMLScalarVolumeNode"
        if self.colour:
            array = np.repeat(array[..., None], 3, axis=3)
        node = slicer.util.addVolumeFromArray(array, name=name, nodeClassName=class_name)
        node.SetIJKToRASMatrix(to_vtk(self.ijk_to_ras))
        node.CreateDefaultDisplayNodes()
        show(node)
        return node

    def ras(self, ijk: Sequence[float]) -> list[float]:
        point = self.ijk_to_ras @ np.array([*ijk, 1.0])
        return [float(v) for v in point[:3]]

    def box_corners(self, number: int, k: int, margin: float = 1.5) -> tuple[list[float], list[float]]:
        """Two opposite corners (RAS) of a box around a ball on slice k."""
        ball = self.balls[number]
        ci, cj, _ = ball.centre_ijk
        reach = ball.radius + margin
        return self.ras((ci - reach, cj - reach, k)), self.ras((ci + reach, cj + reach, k))


ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


def show(node: Any) -> None:
    """In all slice views, in their usual orientations turned to the volume's axes.

    A view that the scenario before left oblique would else turn to whichever axis is nearest, not to its own.
    """
    layout = slicer.app.layoutManager()
    for name in layout.sliceViewNames():
        widget = layout.sliceWidget(name)
        widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
        if name in ORIENTATIONS:
            widget.mrmlSliceNode().SetOrientation(ORIENTATIONS[name])
        widget.mrmlSliceNode().RotateToVolumePlane(node)
        widget.sliceLogic().FitSliceToBackground(400, 400)
    slicer.app.processEvents()


def chest_ct() -> Any:
    """Load a real chest CT and show it in all slice views.

    Raises `SkipTest` where the sample cannot be downloaded, and RuntimeError where the named file cannot be read.
    """
    path = os.environ.get(CT_VARIABLE, "")
    node = slicer.util.loadVolume(path) if path else _downloaded_ct()
    show(node)
    return node


def _downloaded_ct() -> Any:
    """The sample of the module Sample Data, which without a network fails in several ways of its own."""
    try:
        node = import_module("SampleData").SampleDataLogic().downloadCTChest()
    except Exception as error:
        raise SkipTest(f"no sample data: {type(error).__name__}: {error}") from error
    if node is None:
        raise SkipTest("no sample data: the download gave no volume")
    return node
