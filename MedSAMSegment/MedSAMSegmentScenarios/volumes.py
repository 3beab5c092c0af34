"""Volumes of every kind: oblique, colour, one slice, transformed; and what is refused, with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from MedSAMSegmentLib.mrml.transforms import to_vtk

from . import scenario
from .phantom import Phantom, show
from .user import show_slice, view_widget
from .workspace import Workspace


def tilt(degrees: float = 25.0) -> np.ndarray:
    """A 4x4 that turns about two axes, with anisotropic spacing and a shifted origin."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([0.9, 0.9, 2.5])
    matrix[:3, 3] = (-30, 12, 40)
    return matrix


@scenario
def an_oblique_volume_is_segmented_in_aligned_views() -> None:
    phantom = Phantom(ijk_to_ras=tilt())
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


@scenario
def a_view_oblique_to_the_volume_is_refused_and_aligned_by_a_link() -> None:
    phantom = Phantom(ijk_to_ras=tilt())
    workspace = Workspace(phantom.node(), stand_in=True)
    node = view_widget("Red").mrmlSliceNode()
    node.SetOrientationToAxial()
    middle = phantom.ras((24, 24, 8))
    show_slice("Red", middle)
    workspace.user.drag("Red", [middle[0] - 9, middle[1] - 9, middle[2]], [middle[0] + 9, middle[1] + 9, middle[2]])
    assert "oblique" in workspace.status
    assert len(workspace.state.queue) == 0

    workspace.parts.frame.runs.status.linkActivated.emit("align:")
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


def turned(degrees: float = 20.0) -> np.ndarray:
    """A 4x4 that turns about the body's long axis: axial views show its slices, though not level."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([1.0, 1.0, 2.0])
    return matrix


@scenario
def a_box_in_a_view_that_is_turned_in_its_plane_is_refused_and_the_view_aligned_by_a_link() -> None:
    phantom = Phantom(ijk_to_ras=turned())
    workspace = Workspace(phantom.node(), stand_in=True)
    node = view_widget("Red").mrmlSliceNode()
    node.SetOrientationToAxial()
    x, y, z = phantom.ras((24, 24, 8))
    show_slice("Red", (x, y, z))
    workspace.user.drag("Red", (x - 8, y - 8, z), (x + 8, y + 8, z))
    assert "turned by 20 degrees" in workspace.status
    assert "Align the views" in workspace.status
    assert len(workspace.state.queue) == 0

    workspace.set(tool="line")
    workspace.user.drag("Red", (x - 6, y, z), (x + 6, y, z))
    (line,) = workspace.current.prompts.all()
    assert type(line).__name__ == "Line", "its ends are where they are"
    workspace.parts.drawing.remove_last_prompt()

    workspace.set(tool="box")
    workspace.parts.frame.runs.status.linkActivated.emit("align:")
    workspace.draw_box(phantom)
    (box,) = workspace.current.prompts.all()
    assert (box.i, box.j) == ((17, 31), (17, 31)), "as it was drawn"  # type: ignore[union-attr]
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


@scenario
def coronal_and_sagittal_views_work_like_axial_ones() -> None:
    phantom = Phantom(ijk_to_ras=np.diag([-1.0, -1.0, 2.0, 1.0]))
    for view, ends in (("Green", ((16, 24, 1), (32, 24, 15))), ("Yellow", ((24, 16, 1), (24, 32, 15)))):
        slicer.mrmlScene.Clear()
        workspace = Workspace(phantom.node(), stand_in=True)
        corners = [phantom.ras(end) for end in ends]
        show_slice(view, corners[0])
        workspace.user.drag(view, *corners)
        workspace.propagate()
        workspace.wait()
        assert workspace.service.jobs[-1].axis == (1 if view == "Green" else 2)
        np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


@scenario
def a_colour_volume_is_segmented() -> None:
    phantom = Phantom(colour=True)
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
    assert workspace.service.opened[-1].read().shape == (*phantom.shape_zyx, 3)


@scenario
def volume_and_segmentation_under_a_transform_stay_in_place() -> None:
    phantom = Phantom()
    volume = phantom.node()
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (11, -7, 5)
    moved.SetMatrixTransformToParent(to_vtk(matrix))
    workspace = Workspace(volume, stand_in=True)
    for node in (volume, workspace.segmentation):
        node.SetAndObserveTransformNodeID(moved.GetID())
    show(volume)
    placed = Phantom(ijk_to_ras=matrix @ phantom.ijk_to_ras)
    workspace.draw_box(placed)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


def bend() -> Any:
    """A transform node that is not linear."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    shifted = vtk.vtkPoints()
    for x in (0, 40):
        for y in (0, 40):
            for z in (0, 30):
                points.InsertNextPoint(x, y, z)
                shifted.InsertNextPoint(x + 0.1 * y * y / 40, y, z)
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(shifted)
    spline.SetBasisToR()
    node.SetAndObserveTransformToParent(spline)
    return node


@scenario
def a_bent_volume_is_refused_with_the_cure() -> None:
    phantom = Phantom()
    volume = phantom.node()
    workspace = Workspace(volume, stand_in=True)
    volume.SetAndObserveTransformNodeID(bend().GetID())
    workspace.propagate()
    assert "not linear" in workspace.status
    assert "Harden" in workspace.status


@scenario
def a_single_slice_is_a_volume() -> None:
    phantom = Phantom(shape_zyx=(1, 48, 48), balls=(Phantom().balls[0].__class__((24, 24, 0), 7),))
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
