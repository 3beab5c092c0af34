"""What is drawn on a slice: gestures, planes, prompts, corrections, the queue, outlines, settings. No Qt, no MRML."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAMSegmentLib.errors import GeometryError, PromptError, UsageError
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Point
from MedSAMSegmentLib.ui import corrections, settings
from MedSAMSegmentLib.ui.gesture import Click, Drag, MouseGesture
from MedSAMSegmentLib.ui.lesion_queue import Lesion, LesionQueue, LesionState, next_name
from MedSAMSegmentLib.ui.mask_outline import fill_rectangles, outline_segments, to_ijk
from MedSAMSegmentLib.ui.prompt_set import PromptSet
from MedSAMSegmentLib.ui.settings import EffectSettings
from MedSAMSegmentLib.ui.slice_plane import SlicePlane, box_on_slice, plane_of_view, require_inside

AXIAL = np.array([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
CORONAL = np.array([[-1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], float)
SAGITTAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], float)


def at(matrix, *centre):
    moved = matrix.copy()
    moved[:3, 3] = centre
    return moved


def world_to_ijk(spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), rotation=None):
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if rotation is None else rotation) @ np.diag(spacing)
    matrix[:3, 3] = origin
    return np.linalg.inv(matrix)


def tilted(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


# --- gesture -------------------------------------------------------------------------------------------------------


def test_a_drag_is_a_rectangle_and_a_short_one_a_click():
    gesture = MouseGesture()
    gesture.press((10, 10))
    assert gesture.move((30, 5)) == Drag((10, 10), (30, 5))
    assert gesture.release((40, 20)) == Drag((10, 10), (40, 20))
    gesture.press((10, 10))
    assert gesture.release((12, 13)) == Click((10, 10))


def test_a_release_without_a_press_in_this_view_is_nothing():
    gesture = MouseGesture()
    assert gesture.move((3, 3)) is None
    assert gesture.release((3, 3)) is None
    gesture.press((1, 1))
    gesture.abort()
    assert gesture.release((50, 50)) is None


# --- planes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "axis", "index"),
    [(AXIAL, 0, 6), (CORONAL, 1, 20), (SAGITTAL, 2, 30)],
    ids=["axial", "coronal", "sagittal"],
)
def test_each_standard_view_shows_one_axis_of_the_volume(view, axis, index):
    plane = plane_of_view(at(view, 30.0, 20.0, 15.0), world_to_ijk(spacing=(1, 1, 2.5)))
    assert plane == SlicePlane(axis, index)


def test_a_flipped_volume_keeps_its_axes():
    flipped = np.linalg.inv(np.diag([-1.0, -1.0, 2.0, 1.0]))
    assert plane_of_view(at(AXIAL, 0, 0, 8), flipped) == SlicePlane(0, 4)


def test_the_box_holds_the_voxels_whose_centres_it_covers_whatever_the_order_of_corners():
    corners = np.array([[10.4, 5.6, 12], [2.6, 5.6, 12], [2.6, 9.2, 12], [10.4, 9.2, 12]])
    box, index = box_on_slice(corners, world_to_ijk(spacing=(1, 1, 4)), axis=0)
    assert index == 3
    assert box == Box(i=(3, 10), j=(6, 9), k=(3, 3))


def test_a_box_within_one_voxel_takes_that_voxel():
    corners = np.array([[2.1, 3.2, 0], [2.3, 3.2, 0], [2.3, 3.4, 0], [2.1, 3.4, 0]])
    box, _ = box_on_slice(corners, world_to_ijk(), axis=0)
    assert (box.i, box.j) == ((2, 2), (3, 3))


def test_an_oblique_volume_seen_along_its_own_axes_gives_a_box():
    rotation = tilted(30)
    centre = rotation @ np.array([20.0, 20.0, 7.0])
    view = np.eye(4)
    view[:3, :3] = rotation @ AXIAL[:3, :3]
    view[:3, 3] = centre
    corners = centre + np.array([[-5, -4, 0], [5, -4, 0], [5, 4, 0], [-5, 4, 0]]) @ view[:3, :3].T
    ijk = world_to_ijk(rotation=rotation)
    plane = plane_of_view(view, ijk)
    box, index = box_on_slice(corners, ijk, plane.axis)
    assert (plane.axis, plane.index, index) == (0, 7, 7)
    assert box == Box(i=(15, 25), j=(16, 24), k=(7, 7))


def test_a_box_in_a_view_that_cuts_across_slices_is_refused_with_a_cure():
    corners = np.array([[0, 0, 0], [60, 0, 0], [60, 60, 0], [0, 60, 0]], float)
    with pytest.raises(GeometryError, match="oblique") as caught:
        box_on_slice(corners, world_to_ijk(rotation=tilted(20)), axis=0)
    assert "Align the view" in caught.value.cure


def test_a_slice_outside_the_volume_is_refused():
    with pytest.raises(PromptError, match="outside the volume"):
        require_inside(12, 0, (12, 4, 4))


# --- prompts -------------------------------------------------------------------------------------------------------

BOX = Box(k=(2, 2), j=(1, 5), i=(1, 6))
P2 = SlicePlane(0, 2)


def test_a_second_box_on_a_slice_replaces_the_first_and_points_gather():
    prompts = PromptSet()
    prompts.start(P2, BOX)
    prompts.add(P2, Point(2, 2, 2))
    other = Box(k=(2, 2), j=(0, 3), i=(0, 3))
    prompts.add(P2, other)
    prompts.add(P2, Point(4, 4, 2, positive=False))
    assert [type(p).__name__ for p in prompts.on(P2)] == ["Point", "Box", "Point"]
    assert prompts.on(P2)[1] is other


def test_a_drawing_across_another_axis_starts_over():
    prompts = PromptSet()
    prompts.start(P2, BOX)
    coronal = SlicePlane(1, 3)
    prompts.add(coronal, Box(k=(0, 4), j=(3, 3), i=(1, 6)))
    assert prompts.axis == 1
    assert len(prompts.all()) == 1


def test_the_roi_gives_its_cross_section_on_slices_without_an_outline():
    prompts = PromptSet()
    prompts.roi = Box(k=(1, 4), j=(1, 5), i=(2, 6))
    assert prompts.on(SlicePlane(0, 3)) == [Box(k=(3, 3), j=(1, 5), i=(2, 6))]
    assert prompts.on(SlicePlane(0, 5)) == []
    prompts.add(P2, BOX)
    assert prompts.on(P2) == [BOX]
    assert prompts.all() == [BOX, prompts.roi]


# --- corrections ---------------------------------------------------------------------------------------------------


def a_column(shape=(9, 6, 6)):
    mask = np.zeros(shape, bool)
    mask[2:7, 2:4, 2:4] = True
    return mask


def written(mask, *prompts):
    return corrections.Written("s1", 0, mask, prompts)


def test_edited_slices_become_key_slices_and_keep_the_prompts_of_the_others():
    before = a_column()
    now = before.copy()
    now[6, 1:5, 1:5] = True
    box = Box(k=(4, 4), j=(2, 3), i=(2, 3))
    again = corrections.continue_from(written(before, box), now)
    assert again.locked == {6}
    assert again.prompts[0] is box
    assert isinstance(again.prompts[1], MaskPrompt)
    assert again.prompts[1].index == 6
    assert again.prompts[1].mask.sum() == 16
    assert again.bounds == (0, 8)


def test_a_prompt_on_an_edited_slice_gives_way_to_what_was_painted():
    before = a_column()
    now = before.copy()
    now[4, 0, 0] = True
    line = Line((2, 2, 4), (3, 3, 4))
    again = corrections.continue_from(written(before, line), now)
    assert [type(p) for p in again.prompts] == [MaskPrompt]


def test_a_slice_erased_beyond_the_keys_ends_the_object_there():
    before = a_column()
    now = before.copy()
    now[6] = False
    again = corrections.continue_from(written(before, Box(k=(4, 4), j=(2, 3), i=(2, 3))), now)
    assert again.bounds == (0, 5)
    assert again.locked == {6}


def test_the_new_mask_replaces_the_old_result_keeps_hand_work_and_locked_slices():
    previous = a_column()
    current = previous.copy()
    current[0, 5, 5] = True
    current[4] = False
    current[4, 0, 0] = True
    result = np.zeros_like(previous)
    result[3:6, 1:3, 1:3] = True
    new = corrections.merged(current, result, 0, previous=previous, locked=[4])
    assert new[0, 5, 5]
    assert not new[2].any()
    assert new[4].sum() == 1
    assert new[4, 0, 0]
    np.testing.assert_array_equal(new[3], result[3])


def test_a_first_run_adds_to_what_is_there():
    current, result = a_column(), np.zeros((9, 6, 6), bool)
    result[0] = True
    np.testing.assert_array_equal(corrections.merged(current, result, 0), current | result)


def test_every_painted_slice_is_a_key():
    keys = corrections.painted_prompts(a_column(), axis=1)
    assert [k.index for k in keys] == [2, 3]
    assert keys[0].mask.shape == (9, 6)


# --- queue ---------------------------------------------------------------------------------------------------------


def test_run_all_takes_what_has_not_succeeded_and_stepping_goes_round():
    queue = LesionQueue()
    for n in range(3):
        queue.append(Lesion(f"Lesion_{n + 1}", [BOX], P2))
    queue.rows[1].state = LesionState.DONE
    assert [r.name for r in queue.waiting()] == ["Lesion_1", "Lesion_3"]
    assert queue.step(1).name == "Lesion_1"
    assert queue.step(-1).name == "Lesion_3"
    queue.remove(2)
    assert queue.current.name == "Lesion_2"
    queue.clear()
    assert queue.step(1) is None


def test_names_count_on_from_the_highest():
    assert next_name([]) == "Lesion_1"
    assert next_name(["Lesion_2", "Lesion_10", "Lesion_x", "Liver"]) == "Lesion_11"


# --- outlines ------------------------------------------------------------------------------------------------------


def test_rectangles_fill_exactly_the_mask():
    mask = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    rectangles = fill_rectangles(mask)
    assert rectangles.tolist() == [[0.5, -0.5, 2.5, 0.5], [3.5, -0.5, 4.5, 0.5], [-0.5, 1.5, 4.5, 2.5]]
    area = ((rectangles[:, 2] - rectangles[:, 0]) * (rectangles[:, 3] - rectangles[:, 1])).sum()
    assert area == mask.sum()


def test_the_outline_of_one_pixel_has_four_edges():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    edges = {tuple(edge) for edge in outline_segments(mask)}
    assert edges == {(1.5, 0.5, 2.5, 0.5), (1.5, 1.5, 2.5, 1.5), (1.5, 0.5, 1.5, 1.5), (2.5, 0.5, 2.5, 1.5)}


@pytest.mark.parametrize(("axis", "expected"), [(0, [3, 4, 7]), (1, [3, 7, 4]), (2, [7, 3, 4])])
def test_pixels_of_a_slice_are_voxels_of_its_volume(axis, expected):
    assert to_ijk(np.array([[3.0, 4.0]]), SlicePlane(axis, 7)).tolist() == [expected]


# --- settings ------------------------------------------------------------------------------------------------------


class Store:
    """Parameters as the host keeps them: texts."""

    def __init__(self):
        self.texts, self.sets = {}, 0

    def parameterDefined(self, name):
        return bool(self.texts.get(name))

    def parameter(self, name):
        return self.texts[name]

    def setParameter(self, name, value):
        self.texts[name] = str(value)
        self.sets += 1

    def setParameterDefault(self, name, value):
        self.texts.setdefault(name, str(value))


def test_settings_survive_a_scene():
    store = Store()
    settings.set_defaults(store)
    chosen = settings.load(store).changed(
        model="medsam2", range_rule="slices", first=9, last=4, each_box_new_segment=False
    )
    settings.save(store, chosen)
    assert settings.load(store) == chosen
    assert chosen.slice_range == (4, 9)
    assert store.texts["EachBoxNewSegment"] == "0"


def test_only_changed_values_are_stored():
    store = Store()
    settings.set_defaults(store)
    settings.save(store, EffectSettings())
    assert store.sets == 0
    settings.save(store, EffectSettings(direction="up"))
    assert store.sets == 1


def test_what_an_odd_scene_holds_falls_back_to_the_default():
    store = Store()
    store.texts = {"Tool": "lasso", "First": "x", "Direction": "down"}
    assert settings.load(store) == EffectSettings(direction="down")
    with pytest.raises(UsageError, match="lasso"):
        EffectSettings().changed(tool="lasso")
