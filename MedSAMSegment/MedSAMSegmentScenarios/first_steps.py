"""The first minutes: a box, a preview, a 3D segment, undo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAMSegmentLib.mrml.volume_node import geometry_of, voxels_of

from . import needs_weights, scenario
from .phantom import Ball, Phantom, chest_ct
from .user import show_slice
from .workspace import Workspace

LUNG_BOX = ((-138.0, 85.0, -160.0), (-7.0, -125.0, -160.0))
"""Two corners, RAS mm, round the left lung of the sample chest CT."""


AIR_HU = -500
MARGIN_MM = 15.0


@needs_weights
@scenario
def two_actions_from_ct_to_3d_lung() -> None:
    volume = chest_ct()
    workspace = Workspace(volume)
    show_slice("Red", LUNG_BOX[0])

    workspace.user.drag("Red", *LUNG_BOX)
    workspace.propagate()
    workspace.wait()

    assert workspace.user.count == 2, workspace.user.log
    assert workspace.runs.last_error is None
    mask, values = workspace.mask(), voxels_of(volume)
    millilitres = mask.sum() * geometry_of(volume).voxel_volume_ml
    assert 2700 < millilitres < 3600, "one lung, of 3.1 litres in the sample's own segmentation"
    assert int(mask.any(axis=(1, 2)).sum()) > 12, "slices"
    assert float(np.median(values[mask])) < -800, "HU of lung"
    assert float((values[mask] < AIR_HU).mean()) > 0.85, "hardly anything but air"
    assert share_in_box(mask, volume) > 0.98, "not the other lung, not the air around"
    assert "mL" in workspace.results
    assert "mm" in workspace.results

    workspace.editor.undo()
    assert int(workspace.mask().sum()) == 0, "one undo takes the whole run back"
    workspace.editor.redo()
    np.testing.assert_array_equal(workspace.mask(), mask)


@scenario
def the_preview_shows_the_slice_and_writes_nothing_until_asked() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    assert workspace.service.prepared, "the worker starts while the box is drawn"
    assert not workspace.mask().any()
    overlay = workspace.state.painter.overlay(_red())
    assert overlay.fill.count > 5
    assert overlay.prompts.count == 4, "the box is drawn"
    show_slice("Red", phantom.ras((24, 24, 12)))
    assert overlay.fill.count == 0, "the preview belongs to its slice"

    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    assert not workspace.mask().any(), "nothing is written unseen"
    assert overlay.fill.count > 5, "the slice that was drawn on is shown"
    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    expected = phantom.ball(0)
    expected[np.arange(16) != 8] = False
    np.testing.assert_array_equal(workspace.mask(), expected)
    workspace.editor.undo()
    assert not workspace.mask().any()


@scenario
def a_segment_is_made_where_there_is_none() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True, segment=None)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    assert len(workspace.segment_ids) == 1
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
    workspace.editor.undo()
    assert workspace.segment_ids == [], "the new segment goes with the same undo"


@scenario
def points_lines_and_rois_are_prompts_too() -> None:
    import slicer

    phantom = Phantom(balls=(Ball((24, 24, 8), 6),))
    workspace = Workspace(phantom.node(), stand_in=True)
    show_slice("Red", phantom.ras((24, 24, 8)))
    workspace.set(tool="include")
    workspace.user.click("Red", phantom.ras((24, 24, 8)))
    workspace.wait_for_preview()
    assert workspace.shown_mask[24, 24]
    workspace.set(tool="line")
    workspace.user.drag("Red", phantom.ras((18, 24, 8)), phantom.ras((30, 24, 8)))
    assert [type(p).__name__ for p in workspace.current.prompts.all()][-1] == "Line"
    workspace.wait_for_preview()
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(workspace.segment_ids[-1]), phantom.ball(0))
    workspace.editor.undo()
    slicer.app.processEvents()
    assert workspace.parameters.GetSelectedSegmentID() in workspace.segment_ids, "the empty one that is left"

    workspace.parts.listing.clear_rows()
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetXYZ(*phantom.ras((24, 24, 8)))
    roi.SetSize(16, 16, 12)
    workspace.parts.frame.advanced.roi.setCurrentNode(roi)
    workspace.parts.running.choose_roi(roi)
    workspace.propagate()
    workspace.wait()
    assert workspace.mask()[8, 24, 24]
    assert not workspace.mask()[:5].any(), "the ROI ends at slice 5"


@scenario
def the_range_and_direction_hold() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.set(range_rule="slices", first=6, last=9)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(np.flatnonzero(workspace.mask().any(axis=(1, 2))), [6, 7, 8, 9])
    assert workspace.service.opened[-1].part == (0, 6, 9), "only the range is sent"
    workspace.editor.undo()
    workspace.set(range_rule="stop", direction="up")
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    assert int(np.flatnonzero(workspace.mask().any(axis=(1, 2)))[0]) == 8


@scenario
def what_a_run_takes_is_said_before_it_starts() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.runs.estimator.memory = lambda: 10**11
    workspace.service.seconds_per_slice = 2.0
    assert workspace.estimate == ""
    workspace.draw_box(phantom)
    assert workspace.estimate == "At most 16 slice(s).", "no time before a slice was measured"
    workspace.wait_for_preview()
    assert workspace.estimate == "At most 16 slice(s), 32 s."
    workspace.set(range_rule="slices", first=6, last=9)
    assert workspace.estimate == "At most 4 slice(s), 8 s."
    workspace.set(direction="up")
    assert workspace.estimate == "At most 2 slice(s), 4 s."

    workspace.runs.estimator.memory = lambda: 10**8
    workspace.set(direction="both")
    assert "100.0 MB of memory are free, LiteMedSAM with these slices needs" in workspace.estimate
    assert "choose fewer, or another model" in workspace.estimate
    assert workspace.service.jobs == [], "nothing has started"
    assert workspace.parts.frame.runs.propagate.enabled, "the user decides"

    workspace.hold_a_run(phantom)
    assert workspace.estimate == "", "the progress bar says what is left"
    workspace.service.release()
    workspace.wait()
    assert workspace.estimate == "", "nothing waits"


@scenario
def a_preview_has_its_segments_colour_or_the_colour_of_previews() -> None:
    from MedSAMSegmentLib.ui.overlay.painter import PREVIEW_COLOR

    phantom = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 10), 5)))
    workspace = Workspace(phantom.node(), stand_in=True)
    painter = workspace.state.painter
    segments = workspace.segmentation.GetSegmentation()
    blue = (0.1, 0.2, 0.9)
    segments.GetSegment(workspace.segment_id).SetColor(*blue)
    workspace.draw_box(phantom, 0)
    # The module Data, where it was opened, writes colours back in sixteen bits.
    np.testing.assert_allclose(painter.color, blue, atol=1e-4, err_msg="it goes to the empty segment")
    workspace.draw_box(phantom, 1)
    assert painter.color == PREVIEW_COLOR, "it has no segment yet"
    workspace.propagate()
    workspace.wait()
    assert painter.color == segments.GetSegment(workspace.segment_ids[1]).GetColor()
    workspace.parts.listing.step_object(1)
    np.testing.assert_allclose(painter.color, blue, atol=1e-4)


def share_in_box(mask: NDArray[np.bool_], volume: Any) -> float:
    """Return the share of a segment that lies above and below the box, give or take a margin."""
    ijk = np.argwhere(mask)[:, ::-1]
    lps = np.c_[ijk, np.ones(len(ijk))] @ geometry_of(volume).ijk_to_lps.T
    right, front = -lps[:, 0], -lps[:, 1]
    (r0, r1), (a0, a1) = (sorted(pair) for pair in zip(*(corner[:2] for corner in LUNG_BOX), strict=True))
    inside = (right > r0 - MARGIN_MM) & (right < r1 + MARGIN_MM) & (front > a0 - MARGIN_MM) & (front < a1 + MARGIN_MM)
    return float(inside.mean())


def _red():  # type: ignore[no-untyped-def]
    import slicer

    return slicer.app.layoutManager().sliceWidget("Red")
