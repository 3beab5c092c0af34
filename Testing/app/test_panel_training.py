"""The panel's button that fine-tunes on the segments of the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def panel(module_panel: Any) -> Any:
    """The panel with the section open."""
    module_panel.training.frame.collapsed = False
    return module_panel


def ball(shift: int = 0) -> np.ndarray:
    k, j, i = np.mgrid[:6, :40, :50]
    return (k - 3) ** 2 * 9 + (j - 20) ** 2 + (i - 18 - shift) ** 2 <= 90


def add_patient(mask: np.ndarray, name: str = "Ball") -> tuple[Any, Any]:
    """Put a volume and a segmentation drawn on it into the scene, turned and scaled in space."""
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    slicer.util.updateVolumeFromArray(volume, np.where(mask, 250, -500).astype(np.int16))
    volume.SetSpacing(0.7, 0.8, 3.0)
    volume.SetOrigin(10, -20, 30)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = segmentation.GetSegmentation().AddEmptySegment("", name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segment_id, volume)
    return volume, segmentation


def names(panel: Any) -> list[str]:
    box = panel.training.segment
    return [box.itemText(number) for number in range(box.count)]


def test_the_names_of_the_scene_are_listed_when_the_panel_is_entered(panel: Any) -> None:
    assert names(panel) == []
    assert not panel.training.start.enabled
    add_patient(ball())
    add_patient(ball(4))
    add_patient(ball(), "Other")
    panel.refresh()
    assert names(panel) == ["Ball", "Other"]
    assert panel.training.start.enabled


def test_what_is_written_is_read_as_images_with_the_segment(panel: Any, tmp_path: Path) -> None:
    import slicer

    from MedSAMSegmentLib.mrml.volume_node import geometry_of
    from MedSAMSegmentLib.training.sources import find_sources, read_labelled
    from MedSAMSegmentLib.ui.training_data import named_segments, write_training_data

    volumes = [add_patient(ball(shift))[0] for shift in (0, 4)]
    add_patient(ball(), "Other")
    found = named_segments(slicer.mrmlScene, "Ball")
    sources = find_sources(write_training_data(tmp_path, found))
    assert len({source.patient for source in sources}) == 2
    for source, volume, shift in zip(sources, volumes, (0, 4), strict=True):
        labelled = read_labelled(source, ["1"])
        assert labelled is not None
        assert np.array_equal(labelled.mask_zyx, ball(shift))
        assert labelled.volume.geometry.agrees_with(geometry_of(volume))
        assert np.array_equal(labelled.volume.array_zyx, slicer.util.arrayFromVolume(volume))


def test_an_empty_segment_is_told(panel: Any, application: Any) -> None:
    add_patient(np.zeros((6, 40, 50), bool))
    panel.refresh()
    application.actions.press(panel.training.start)
    assert "are empty" in panel.training.status.text
    assert not panel.training.jobs.busy


def test_a_training_without_weights_ends_with_a_sentence_and_leaves_nothing(panel: Any, application: Any) -> None:
    add_patient(ball())
    panel.refresh()
    application.actions.press(panel.training.start)
    assert panel.training.jobs.busy
    assert not panel.training.start.enabled
    folder = panel.training._folder
    assert folder is not None
    application.wait_until(lambda: not panel.training.jobs.busy, 120)
    assert "LiteMedSAM" in panel.training.status.text
    assert panel.training.start.enabled
    assert not folder.exists()


def test_a_training_is_cancelled(panel: Any, application: Any) -> None:
    add_patient(ball())
    panel.refresh()
    application.actions.press(panel.training.start)
    application.actions.press(panel.training.cancel)
    application.wait_until(lambda: not panel.training.jobs.busy, 60)
    assert panel.training.status.text != ""
    assert not panel.training.cancel.visible
