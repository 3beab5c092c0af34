"""Changes that Slicer makes around the effect: another layout, the editor's intensity range."""

from __future__ import annotations

import numpy as np
import slicer

from . import scenario
from .phantom import Phantom
from .user import view_widget
from .workspace import Workspace


@scenario
def the_layout_changes_during_a_run() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    layout = slicer.app.layoutManager()
    before = layout.layout
    workspace.hold_a_run(phantom)
    try:
        layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        slicer.app.processEvents()
        workspace.service.release()
        workspace.wait()
        np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
        workspace.editor.undo()
        workspace.draw_box(phantom)
        workspace.wait_for_preview()
        overlay = workspace.state.painter.overlay(view_widget("Red"))
        assert overlay.fill.count > 0, "the view that is left shows the preview"
    finally:
        layout.setLayout(before)


@scenario
def the_editors_intensity_range_holds() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    values = slicer.util.arrayFromVolume(workspace.volume)
    values[:, :24] += 300
    slicer.util.arrayFromVolumeModified(workspace.volume)
    limit = float(values[8, 20, 24]) - 1.0
    workspace.parameters.SourceVolumeIntensityMaskOn()
    workspace.parameters.SetSourceVolumeIntensityMaskRange(limit, 1e6)
    try:
        workspace.draw_box(phantom)
        workspace.propagate()
        workspace.wait()
        expected = phantom.ball(0)
        expected[:, 24:] = False
        assert expected.any()
        np.testing.assert_array_equal(workspace.mask(), expected)
        assert "left out by Masking" in workspace.results, "it is said that a part was not written"
    finally:
        workspace.parameters.SourceVolumeIntensityMaskOff()
