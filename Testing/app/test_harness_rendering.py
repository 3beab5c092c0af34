"""Pictures: a slice view by Slicer's real displayable managers, and panels as the user sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slicer_harness.rendering import grab_widget, render_slice_view


@pytest.fixture
def a_segment_in_the_ct(a_chest_ct: Any) -> Any:
    """A red box segment in the chest CT."""
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(a_chest_ct)
    segment = segmentation.GetSegmentation().AddEmptySegment("box", "box", (1.0, 0.0, 0.0))
    shape = slicer.util.arrayFromVolume(a_chest_ct).shape
    mask = np.zeros(shape, np.uint8)
    middle = [size // 2 for size in shape]
    mask[middle[0] - 5 : middle[0] + 5, middle[1] : middle[1] + 60, middle[2] - 40 : middle[2] + 40] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, a_chest_ct)
    return segmentation


def centre_of(volume: Any) -> list[float]:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]


def red(picture: np.ndarray) -> np.ndarray:
    """Pixels that are clearly red: (rows, columns) bool."""
    levels = picture.astype(int)
    return (levels[..., 0] > levels[..., 1] + 40) & (levels[..., 0] > levels[..., 2] + 40)


def test_the_real_displayable_managers_draw_the_segment_over_the_ct(
    application, a_chest_ct, a_segment_in_the_ct, tmp_path
):
    view = application.view("Red")
    centre = centre_of(a_chest_ct)
    view.mrmlSliceNode().JumpSliceByOffsetting(*centre)
    picture = render_slice_view(view, tmp_path / "red.png")
    assert (tmp_path / "red.png").read_bytes().startswith(b"\x89PNG")
    assert picture.shape == (400, 400, 3)
    grey = picture[..., 0][~red(picture)]
    assert np.unique(grey).size > 50, "the CT is in the picture"
    rows, columns = np.nonzero(red(picture))
    assert rows.size > 500
    spacing = a_chest_ct.GetSpacing()
    pixel = view.mrmlSliceNode().GetFieldOfView()[0] / 400
    assert np.ptp(columns) == pytest.approx(80 * spacing[0] / pixel, abs=4)
    assert np.ptp(rows) == pytest.approx(60 * spacing[1] / pixel, abs=4)


def test_hiding_the_segmentation_takes_it_off_the_picture(application, a_chest_ct, a_segment_in_the_ct, tmp_path):
    view = application.view("Red")
    view.mrmlSliceNode().JumpSliceByOffsetting(*centre_of(a_chest_ct))
    a_segment_in_the_ct.SetDisplayVisibility(False)
    assert red(render_slice_view(view, tmp_path / "hidden.png")).sum() == 0


def test_a_markups_roi_is_drawn(application, a_chest_ct, tmp_path):
    import slicer

    view, centre = application.view("Red"), centre_of(a_chest_ct)
    view.mrmlSliceNode().JumpSliceByOffsetting(*centre)
    without = render_slice_view(view, tmp_path / "without.png")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    roi.CreateDefaultDisplayNodes()
    roi.SetCenter(centre)
    roi.SetSize(80.0, 80.0, 80.0)
    assert (render_slice_view(view, tmp_path / "with.png") != without).any(axis=-1).sum() > 100


def test_a_panel_of_real_widgets_can_be_grabbed(application, tmp_path):
    import ctk
    import qt

    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    section = ctk.ctkCollapsibleButton()
    section.text = "Prompts"
    layout.addWidget(section)
    form = qt.QFormLayout(section)
    form.addRow("Model:", qt.QComboBox())
    form.addRow("File:", ctk.ctkPathLineEdit())
    grab_widget(panel, tmp_path / "open.png")
    opened = panel.sizeHint.height()
    section.collapsed = True
    grab_widget(panel, tmp_path / "closed.png")
    assert panel.sizeHint.height() < opened
    assert qt.QImage(str(tmp_path / "open.png")).width() > 80
