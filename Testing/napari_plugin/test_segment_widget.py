"""The dock widget in a window of napari: drawn with the mouse, computed by a real worker process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari.layers", reason="napari is not installed: pip install 'MedSAMSegmentLib[napari]'")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from conftest import OpenWindow
from napari_support import Window, a_block, is_running, press

from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.napari.drawn import prompts_of
from MedSAMSegmentLib.prompts import Box, Line, Point

BLOCK = a_block() > 0


def with_block(window: Window, **options: Any) -> Window:
    window.viewer.add_image(a_block(), **{"name": "block", "scale": (4.0, 0.9, 0.8), **options})
    return window


def test_a_box_is_previewed_on_its_slice_and_segmented_in_3d(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    seen = window.previewed()
    assert np.array_equal(seen[5], BLOCK[5])
    assert not seen[np.arange(12) != 5].any()
    window.segment()
    # The stand-in finds in a box of one slice what that slice holds.
    assert np.array_equal(window.labels()[5] == 1, BLOCK[5])
    assert not window.widget.objects.preview.data.any()
    assert window.errors() == []


@pytest.mark.parametrize(
    ("order", "axis", "start", "end", "box"),
    [
        ((0, 1, 2), 0, (5, 2, 4), (5, 12, 16), Box(k=(5, 5), j=(2, 12), i=(4, 16))),
        ((1, 0, 2), 1, (1, 6, 4), (10, 6, 16), Box(k=(1, 10), j=(6, 6), i=(4, 16))),
        ((2, 0, 1), 2, (1, 2, 9), (10, 12, 9), Box(k=(1, 10), j=(2, 12), i=(9, 9))),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        {},
        {"translate": (-7.0, 30.0, 5.5)},
        {"affine": np.diag([1.0, -1.0, -1.0, 1.0]) + np.array([[0, 0, 0, 50.0]] * 3 + [[0, 0, 0, 0]])},
    ],
    ids=["scale", "translate", "flipped"],
)
def test_a_box_is_drawn_on_any_plane_of_a_layer_wherever_it_lies(
    *,
    order: tuple[int, ...],
    axis: int,
    start: tuple[float, ...],
    end: tuple[float, ...],
    box: Box,
    place: dict[str, Any],
    open_window: OpenWindow,
) -> None:
    window = with_block(open_window(), **place)
    window.viewer.dims.order = order
    window.go_to(**{"zyx"[axis]: (5, 6, 9)[axis]})
    window.drag(start, end)
    seen = np.moveaxis(window.previewed(), axis, 0)
    index = (5, 6, 9)[axis]
    assert np.array_equal(seen[index], np.moveaxis(BLOCK, axis, 0)[index])
    objects, image = window.widget.objects, window.widget.image()
    assert prompts_of(1, objects.image_layer, image, objects.shapes, objects.points) == [box]
    window.segment()
    assert np.array_equal(np.moveaxis(window.labels(), axis, 0)[index] == 1, np.moveaxis(BLOCK, axis, 0)[index])
    assert objects.records[1].axis == axis
    assert window.errors() == []


def test_each_box_is_an_object_or_belongs_to_the_chosen_one(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    widget = window.widget
    window.go_to(z=4)
    window.drag((4, 3, 5), (4, 6, 15))
    window.drag((4, 7, 5), (4, 11, 15))
    widget.new_check.setChecked(False)
    window.go_to(z=6)
    window.drag((6, 7, 5), (6, 11, 15))
    window.previewed()
    objects = widget.objects
    assert list(objects.shapes.features["object"]) == [1, 2, 2]
    assert objects.shapes.edge_color[1].tolist() == objects.shapes.edge_color[2].tolist()
    assert objects.shapes.edge_color[0].tolist() != objects.shapes.edge_color[1].tolist()
    window.segment()
    assert (window.labels()[4] == 1).sum() == 3 * 8
    assert (window.labels()[4] == 2).sum() == 3 * 8
    assert [widget.table.item(row, 0).text() for row in range(2)] == ["Segment_1", "Segment_2"]
    assert window.errors() == []


def test_only_what_changed_is_segmented_again_so_that_paint_stays(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=4)
    window.drag((4, 2, 4), (4, 12, 16))
    window.previewed()
    window.segment()
    window.widget.objects.labels.data_setitem((np.array([4]), np.array([4]), np.array([6])), 0)
    window.go_to(z=6)
    window.drag((6, 2, 4), (6, 12, 16))
    window.segment()
    assert window.labels()[4, 4, 6] == 0
    assert (window.labels()[4] == 1).sum() == 6 * 8 - 1
    assert np.array_equal(window.labels()[6] == 2, BLOCK[6])
    # With nothing new the chosen object, the second, is done again.
    window.widget.objects.labels.data_setitem((np.array([6]), np.array([4]), np.array([6])), 0)
    window.segment()
    assert np.array_equal(window.labels()[6] == 2, BLOCK[6])
    assert window.labels()[4, 4, 6] == 0


def test_a_run_is_one_step_of_the_layers_own_undo(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    found = window.labels().copy()
    window.go_to(z=6)
    window.drag((6, 2, 4), (6, 12, 16))
    window.segment()
    window.widget.objects.labels.undo()
    assert np.array_equal(window.labels(), found)
    press(window.widget.undo_button)
    assert not window.labels().any()
    assert window.widget.table.item(0, 1).text() == "0.0"
    press(window.widget.redo_button)
    assert np.array_equal(window.labels(), found)
    volume = 48 * 4.0 * 0.9 * 0.8 / 1000
    assert window.widget.table.item(0, 1).text() == f"{volume:.1f}"


def test_labels_that_are_preserved_are_not_overwritten(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 6, 16))
    window.segment()
    window.widget.objects.labels.preserve_labels = True
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    assert (window.labels()[5] == 1).sum() == 3 * 8
    assert (window.labels()[5] == 2).sum() == 3 * 8


def test_clicks_belong_to_the_chosen_object_and_have_a_sign(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.click((5, 6, 8), positive=True)
    window.click((5, 11, 15), positive=False)
    window.previewed()
    objects, image = window.widget.objects, window.widget.image()
    box, plus, minus = prompts_of(1, objects.image_layer, image, objects.shapes, objects.points)
    assert isinstance(box, Box)
    assert (plus, minus) == (Point(8, 6, 5), Point(15, 11, 5, positive=False))
    green, red = objects.points.face_color
    assert green[1] > green[0]
    assert red[0] > red[1]
    objects.points.selected_data = {0}
    objects.points.remove_selected()
    assert prompts_of(1, objects.image_layer, image, objects.shapes, objects.points) == [box, minus]
    assert window.errors() == []


def test_a_line_is_a_recist_diameter_and_an_ellipse_its_box(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.widget.draw_boxes()
    objects = window.widget.objects
    objects.shapes.add([[5, 4, 6], [5, 9, 13]], shape_type="line")
    objects.shapes.add([[5, 2, 4], [5, 2, 16], [5, 12, 16], [5, 12, 4]], shape_type="ellipse")
    image = window.widget.image()
    (line,) = prompts_of(1, objects.image_layer, image, objects.shapes, objects.points)
    (box,) = prompts_of(2, objects.image_layer, image, objects.shapes, objects.points)
    assert line == Line((6, 4, 5), (13, 9, 5))
    assert box == Box(k=(5, 5), j=(2, 12), i=(4, 16))


def test_slices_are_kept_for_each_object(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.viewer.dims.order = (1, 0, 2)
    window.go_to(y=6)
    window.drag((1, 6, 4), (10, 6, 16))
    window.previewed()
    window.widget.first_box.setValue(7)
    window.widget.last_box.setValue(7)
    window.segment()
    # Slices run along the axis that the box was drawn across; the block has none of its own on slice 7.
    assert not window.labels().any()
    window.widget.first_box.setValue(5)
    window.segment()
    assert np.array_equal(window.labels()[:, 6] == 1, BLOCK[:, 6])
    window.drag((1, 6, 4), (10, 6, 16))
    window.previewed()
    assert window.widget.objects.records[1].slices == (5, 7)
    assert window.widget.first_box.value() == -1
    assert window.errors() == []


def test_cancel_ends_a_run_and_the_next_one_works(open_window: OpenWindow) -> None:
    window = with_block(open_window("slow"))
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.previewed()
    press(window.widget.run_button)
    assert not window.widget.run_button.isEnabled()
    window.wait(lambda: window.widget.progress.value() > 0)
    press(window.widget.cancel_button)
    window.wait(lambda: not window.widget.computation.running)
    assert window.widget.status.text() == "Cancelled."
    assert not window.labels().any()
    window.segment()
    assert np.array_equal(window.labels()[5] == 1, BLOCK[5])
    assert window.errors() == []


def test_a_worker_that_does_not_listen_is_ended_while_the_window_lives(open_window: OpenWindow) -> None:
    window = with_block(open_window("deaf"))
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.previewed()
    worker = window.widget.computation.process_id
    press(window.widget.run_button)
    window.wait(lambda: window.widget.progress.value() > 0)
    press(window.widget.cancel_button)
    assert window.widget.computation.running, "the button waits for nothing"
    window.wait(lambda: not window.widget.computation.running)
    assert window.widget.status.text() == "Cancelled."
    if sys.platform == "linux":
        assert worker is not None
        window.wait(lambda: not is_running(worker))


@pytest.mark.parametrize(
    ("fault", "said"),
    [("open-refused", "The model is not here. Download it."), ("killed", "The worker"), ("memory-error", "memory")],
)
def test_what_goes_wrong_is_one_sentence_and_a_cure(fault: str, said: str, open_window: OpenWindow) -> None:
    window = with_block(open_window(fault))
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    window.wait(lambda: bool(window.errors()))
    assert said in window.errors()[-1]
    assert "Traceback" not in window.errors()[-1]
    assert window.widget.run_button.isEnabled()


def test_what_cannot_be_asked_for_is_said(open_window: OpenWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    window = open_window()
    press(window.widget.box_button)
    press(window.widget.run_button)
    assert window.errors() == ["There is no image. Open one, or drop a file on the window."] * 2
    with_block(window)
    press(window.widget.run_button)
    assert window.errors()[-1] == "There is no object. Draw a box around one."
    window.widget.draw_boxes()
    window.widget.objects.shapes.add([[5, 40, 40], [5, 40, 60], [5, 60, 60], [5, 60, 40]])
    window.wait(lambda: "outside the volume" in window.errors()[-1])
    monkeypatch.setattr(CheckpointStore, "state", lambda self, entry: "missing")
    press(window.widget.box_button)
    assert "medsam-segment models pull lite_medsam" in window.errors()[-1]


def test_more_axes_than_four_are_refused(open_window: OpenWindow) -> None:
    window = open_window()
    window.viewer.add_image(np.zeros((2, 2, 3, 8, 9), np.uint8), name="many")
    window.widget.draw_boxes()
    window.widget.objects.add_object()
    press(window.widget.run_button)
    assert "has 5 axes; up to 4 are understood" in window.errors()[-1]


@pytest.mark.parametrize("kind", ["bytes", "fractions", "alpha"])
def test_a_colour_picture(kind: str, open_window: OpenWindow) -> None:
    picture = np.zeros((20, 24, 4 if kind == "alpha" else 3), np.uint8)
    picture[4:10, 6:14] = 100
    if kind == "alpha":
        picture[..., 3] = 255
    window = open_window()
    window.viewer.add_image(picture / 255 if kind == "fractions" else picture, name="picture", rgb=True)
    image = window.widget.image()
    assert image.array_zyx.shape == (1, 20, 24, 3)
    assert image.array_zyx.dtype == np.uint8
    assert image.array_zyx.max() == 100


def test_a_grey_picture_is_segmented_and_saved(open_window: OpenWindow, tmp_path: Path) -> None:
    window = open_window()
    window.viewer.add_image(a_block()[5], name="picture")
    window.drag((2, 4), (12, 16))
    assert np.array_equal(window.previewed(), BLOCK[5])
    window.segment()
    assert np.array_equal(window.labels() == 1, BLOCK[5])
    window.widget.save(tmp_path / "mask.png")
    window.wait(lambda: window.widget.status.text().startswith("Saved"))
    (segment,) = read_segmentation(tmp_path / "mask.png").segments
    assert np.array_equal(segment.mask_zyx, BLOCK[5:6])


def test_a_video_is_followed_in_time_when_its_first_axis_is(open_window: OpenWindow) -> None:
    window = with_block(open_window(), scale=(1, 1, 1))
    press_check = window.widget.time_check
    for in_time in (False, True):
        press_check.setChecked(in_time)
        window.go_to(z=5)
        window.drag((5, 2, 4), (5, 12, 16))
        window.segment()
        options = json.loads(window.widget.objects.records[window.widget.objects.current].window)
        assert options["time_series"] is in_time
    window.viewer.dims.order = (1, 0, 2)
    window.go_to(y=6)
    window.drag((1, 6, 4), (10, 6, 16))
    window.wait(lambda: bool(window.errors()))
    assert "across frames" in window.errors()[-1]


def test_of_a_4d_image_the_frame_that_is_shown_is_segmented(open_window: OpenWindow, tmp_path: Path) -> None:
    window = open_window()
    window.viewer.add_image(np.stack([np.full_like(a_block(), 9), a_block()]), name="4D", scale=(1, 4, 0.9, 0.8))
    window.go_to(t=1, z=5)
    window.drag((1, 5, 2, 4), (1, 5, 12, 16))
    assert np.array_equal(window.previewed()[1, 5], BLOCK[5])
    window.segment()
    assert np.array_equal(window.labels()[1, 5] == 1, BLOCK[5])
    assert not window.labels()[0].any()
    assert "on frame 1" in window.widget.status.text()
    assert not window.widget.time_check.isEnabled()
    # The box is on frame 1; on frame 0 there is nothing to segment.
    window.go_to(t=0)
    press(window.widget.run_button)
    assert "Nothing is drawn for Segment_1 here" in window.errors()[-1]
    window.go_to(t=1)
    window.widget.save(tmp_path / "frame.seg.nrrd")
    window.wait(lambda: window.widget.status.text().startswith("Saved"))
    (segment,) = read_segmentation(tmp_path / "frame.seg.nrrd").segments
    assert np.array_equal(segment.mask_zyx[5], BLOCK[5])


def test_the_other_reading_is_previewed_and_run(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.previewed()
    assert "Other reading" not in window.widget.status.text()
    press(window.widget.reading_button)
    window.wait(lambda: "Other reading" in window.widget.status.text())
    window.segment()
    # The stand-in flags each slice of the second reading, which the run judges anew.
    assert window.widget.objects.records[1].reading == 2
    assert window.errors() == []


def test_objects_are_saved_with_name_colour_and_place(open_window: OpenWindow, tmp_path: Path) -> None:
    window = with_block(open_window(), translate=(-7.0, 30.0, 5.5))
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    window.widget.table.item(0, 0).setText("lesion")
    window.widget.save(tmp_path / "out.seg.nrrd")
    window.wait(lambda: window.widget.status.text().startswith("Saved"))
    written = read_segmentation(tmp_path / "out.seg.nrrd")
    (segment,) = written.segments
    assert segment.name == "lesion"
    assert np.array_equal(segment.mask_zyx, window.labels() == 1)
    expected = np.diag([0.8, 0.9, 4.0, 1.0])
    expected[:3, 3] = (5.5, 30.0, -7.0)
    assert written.geometry.agrees_with(VolumeGeometry((12, 20, 24), expected))
    window.widget.save(tmp_path / "nowhere" / "out.seg.nrrd")
    window.wait(lambda: bool(window.errors()))
    assert "does not exist" in window.errors()[-1]


def test_an_object_is_removed_with_box_and_label(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 6, 16))
    window.drag((5, 7, 4), (5, 12, 16))
    window.segment()
    window.widget.table.selectRow(0)
    press(window.widget.remove_button)
    assert set(np.unique(window.labels())) == {0, 2}
    assert list(window.widget.objects.shapes.features["object"]) == [2]
    assert window.widget.table.rowCount() == 1
    press(window.widget.undo_button)
    assert set(np.unique(window.labels())) == {0, 1, 2}


def test_layers_that_were_deleted_are_made_again(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    for name in ("block boxes", "block objects", "block preview"):
        window.viewer.layers.remove(name)
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    assert np.array_equal(window.labels()[5] == 2, BLOCK[5])


def test_each_image_has_objects_of_its_own(open_window: OpenWindow) -> None:
    window = with_block(open_window())
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    window.viewer.add_image(a_block()[::-1].copy(), name="turned", scale=(4.0, 0.9, 0.8))
    assert window.widget.image_box.currentText() == "block"
    window.widget.image_box.setCurrentIndex(1)
    assert window.widget.table.rowCount() == 0
    window.drag((5, 2, 4), (5, 12, 16))
    window.segment()
    assert np.array_equal(window.labels()[5] == 1, BLOCK[::-1][5])
    # A box in the layer of the other image is about that one.
    window.viewer.layers["block boxes"].add([[6, 2, 4], [6, 2, 16], [6, 12, 16], [6, 12, 4]])
    window.wait(lambda: window.widget.image_box.currentText() == "block")
    assert window.widget.table.rowCount() == 2
    window.widget.image_box.setCurrentIndex(1)
    window.viewer.layers.remove("turned")
    assert window.widget.image_box.currentText() == "block"
    assert window.widget.table.rowCount() == 2
    assert window.errors() == []


def test_a_run_ends_with_its_image(open_window: OpenWindow) -> None:
    window = with_block(open_window("slow"))
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.previewed()
    press(window.widget.run_button)
    window.wait(lambda: window.widget.progress.value() > 0)
    window.viewer.layers.remove("block")
    window.wait(lambda: not window.widget.computation.running)
    assert window.widget.status.text() == "Cancelled."
    assert window.errors() == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes of Linux")
@pytest.mark.parametrize("how", ["window", "dock", "window during a run"])
def test_no_worker_is_left(how: str, open_window: OpenWindow) -> None:
    window = with_block(open_window("slow"))
    window.go_to(z=5)
    window.drag((5, 2, 4), (5, 12, 16))
    window.previewed()
    worker = window.widget.computation.process_id
    assert worker is not None
    assert is_running(worker)
    if how == "window during a run":
        press(window.widget.run_button)
        window.wait(lambda: window.widget.progress.value() > 0)
    if how == "dock":
        window.viewer.window.remove_dock_widget(window.widget)
    else:
        window.viewer.close()
    window.wait(lambda: not is_running(worker))
    assert window.errors() == []
