"""What is drawn on a slice: gestures, planes, prompts, corrections, the queue, outlines, settings. No Qt, no MRML."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAMSegmentLib.errors import GeometryError, PromptError, UsageError
from MedSAMSegmentLib.geometry import SlicePlane, VolumeGeometry
from MedSAMSegmentLib.mrml.transforms import to_vtk
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Point
from MedSAMSegmentLib.results import PackedMask
from MedSAMSegmentLib.ui.drawing.interaction import Click, Drag, MouseGesture
from MedSAMSegmentLib.ui.drawing.prompt_drawing import box_iou, place_box
from MedSAMSegmentLib.ui.objects import settings
from MedSAMSegmentLib.ui.objects.corrections import continue_from, merged
from MedSAMSegmentLib.ui.objects.queue import (
    KEPT_STATES,
    ObjectQueue,
    ObjectState,
    PromptSet,
    QueuedObject,
    Written,
    WrittenResult,
)
from MedSAMSegmentLib.ui.objects.settings import EffectSettings
from MedSAMSegmentLib.ui.overlay.painter import fill_rectangles, outline_segments, to_ijk
from MedSAMSegmentLib.ui.scene.editor_scene import SelectedSegment
from MedSAMSegmentLib.ui.scene.view_geometry import ViewGeometry


class View:
    """The part of a slice node that says where it looks: 400 x 300 pixels of half a millimetre."""

    def __init__(self, slice_to_ras):
        self._pose = np.asarray(slice_to_ras, float)

    def GetSliceToRAS(self):
        return to_vtk(self._pose)

    def GetXYToRAS(self):
        return to_vtk(self._pose @ np.array([[0.5, 0, 0, -100], [0, 0.5, 0, -75], [0, 0, 1, 0], [0, 0, 0, 1]]))


def axial(centre):
    pose = np.diag([-1.0, 1.0, 1.0, 1.0])
    pose[:3, 3] = centre
    return pose


def tilted(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, c, -s], [0, s, c]]
    return turn


# --- gesture -------------------------------------------------------------------------------------------------------


def test_a_drag_is_a_rectangle_and_a_short_one_a_click():
    gesture = MouseGesture()
    gesture.press((10, 10))
    assert gesture.move((30, 5)) == Drag((10, 10), (30, 5))
    assert gesture.release((40, 20)) == Drag((10, 10), (40, 20))
    gesture.press((10, 10))
    assert gesture.release((12, 13)) == Click((10, 10))


@pytest.mark.parametrize(("end", "is_drag"), [((13, 13), False), ((14, 10), True), ((10, 6), True), ((7, 7), False)])
def test_from_four_pixels_on_it_is_a_drag(end, is_drag):
    gesture = MouseGesture()
    gesture.press((10, 10))
    assert gesture.release(end) == (Drag((10, 10), end) if is_drag else Click((10, 10)))


def test_a_release_without_a_press_in_this_view_is_nothing():
    gesture = MouseGesture()
    assert gesture.move((3, 3)) is None
    assert gesture.release((3, 3)) is None
    gesture.press((1, 1))
    gesture.abort()
    assert gesture.release((50, 50)) is None


# --- views ---------------------------------------------------------------------------------------------------------


def a_grid(turn=None):
    """20 slices of 80 x 60 voxels of 1 x 1 x 4 mm."""
    return VolumeGeometry.from_ras((20, 60, 80), (np.eye(4) if turn is None else turn) @ np.diag([1.0, 1.0, 4.0, 1.0]))


def test_the_box_holds_the_voxels_whose_centres_it_covers_whatever_the_order_of_corners():
    view = ViewGeometry(View(axial((40, 30, 12))), a_grid())
    # A pixel x lies at RAS 40 - (x / 2 - 100), a pixel y at 30 + (y / 2 - 75).
    for corners in ([(261, 111), (239, 139)], [(239, 139), (261, 111)]):
        box = view.box([*corners, (corners[0][0], corners[1][1]), (corners[1][0], corners[0][1])])
        assert box == Box(i=(10, 20), j=(11, 24), k=(3, 3))
    assert view.plane() == SlicePlane(0, 3)


def test_voxels_and_pixels_are_inverse():
    view = ViewGeometry(View(axial((40, 30, 12))), a_grid())
    i, j, k = view.voxel((250, 120))
    assert (i, j, k) == pytest.approx((15.0, 15.0, 3.0))
    assert view.ijk_to_xy(np.array([[i, j, k]]))[0] == pytest.approx([250, 120])


def test_an_oblique_volume_seen_along_its_own_axes_gives_a_box():
    turn = tilted(30)
    view = ViewGeometry(View(turn @ axial((40, 30, 28))), a_grid(turn))
    assert view.plane() == SlicePlane(0, 7)
    assert view.box([(210, 140), (190, 160), (210, 160), (190, 140)]) == Box(i=(35, 45), j=(25, 35), k=(7, 7))


def test_a_view_that_cuts_across_slices_is_refused_with_a_cure():
    view = ViewGeometry(View(axial((40, 30, 28))), a_grid(tilted(20)))
    assert view.plane_or_none() is None
    with pytest.raises(GeometryError, match="oblique") as caught:
        view.box([(210, 140), (190, 160), (210, 160), (190, 140)])
    assert "Align the view" in caught.value.cure


def turned(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[:2, :2] = [[c, -s], [s, c]]
    return turn


@pytest.mark.parametrize("degrees", [20, -20, 45, 70, 110, 200])
def test_a_box_in_a_view_that_is_turned_in_its_plane_is_refused_with_a_cure(degrees):
    turn = turned(degrees)
    centre = (turn @ (40, 30, 28, 1))[:3]
    view = ViewGeometry(View(axial(centre)), a_grid(turn))
    corners = [(210, 140), (190, 160), (210, 160), (190, 140)]
    with pytest.raises(GeometryError, match=r"turned by (20|45) degrees") as caught:
        view.box(corners)
    assert "Align the view" in caught.value.cure
    assert view.enclosing(corners).k == (7, 7)
    assert view.voxel((200, 150)) == pytest.approx((40, 30, 7)), "a point is where it is"


@pytest.mark.parametrize("degrees", [0, 2.5, -2.5, 90, 88, 180, 270])
def test_a_view_may_be_turned_a_little_or_by_whole_quarters(degrees):
    turn = turned(degrees)
    view = ViewGeometry(View(axial((turn @ (40, 30, 28, 1))[:3])), a_grid(turn))
    box = view.box([(210, 140), (190, 160), (210, 160), (190, 140)])
    for low, high in (box.i, box.j):
        assert 10 <= high - low <= 11


def test_a_box_beside_the_volume_is_refused():
    view = ViewGeometry(View(axial((40, 30, 12))), a_grid())
    with pytest.raises(PromptError, match="outside the volume"):
        view.box([(5, 5), (30, 30), (5, 30), (30, 5)])
    with pytest.raises(PromptError, match="beside the volume"):
        ViewGeometry(View(axial((40, 30, 200))), a_grid()).plane()


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
    assert not prompts.replaced, "on another slice"
    prompts.remove_last()
    assert prompts.all() == [BOX]


def test_taking_back_brings_what_the_last_drawing_replaced():
    prompts = PromptSet()
    prompts.start(P2, BOX)
    assert not prompts.replaced
    point = Point(2, 2, 2)
    prompts.add(P2, point)
    assert not prompts.replaced
    prompts.add(P2, Box(k=(2, 2), j=(0, 3), i=(0, 3)))
    assert prompts.replaced
    line = Line((1, 1, 2), (3, 3, 2))
    prompts.exchange_last(line)
    assert prompts.replaced
    assert prompts.all() == [point, line]
    prompts.remove_last()
    assert prompts.all() == [BOX, point]
    for _ in range(2):
        prompts.remove_last()
    assert not prompts


def test_an_object_is_finished_again_once_it_has_the_prompts_of_its_run():
    item = QueuedObject("x")
    item.prompts.start(P2, BOX)
    item.complete(WrittenResult(0, {}, voxels=9))
    item.prompts.add(P2, Point(2, 2, 2))
    item.reopen()
    assert item.state is ObjectState.WAITING
    item.prompts.remove_last()
    item.reopen()
    assert item.state is ObjectState.DONE
    item.keys.add(P2)
    item.reopen()
    assert item.state is ObjectState.WAITING, "a key slice makes another result"


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


def edited(before, **changes):
    now = before.copy()
    for index, value in changes.items():
        now[int(index[1:])] = value
    return now


BOX_4 = Box(k=(4, 4), j=(2, 3), i=(2, 3))


def test_edited_slices_become_key_slices_and_keep_the_prompts_of_the_others():
    before = a_column()
    now = before.copy()
    now[6, 1:5, 1:5] = True
    again = continue_from(PackedMask.of(now, 0), 0, [BOX_4], written=PackedMask.of(before, 0))
    assert again.locked == {6}
    assert again.prompts[0] is BOX_4
    assert isinstance(again.prompts[1], MaskPrompt)
    assert again.prompts[1].index == 6
    assert again.prompts[1].mask.sum() == 16
    assert again.bounds == (0, 8)


def test_a_prompt_on_an_edited_slice_gives_way_to_what_was_painted():
    before = a_column()
    now = before.copy()
    now[4, 0, 0] = True
    line = Line((2, 2, 4), (3, 3, 4))
    again = continue_from(PackedMask.of(now, 0), 0, [line], written=PackedMask.of(before, 0))
    assert [type(p) for p in again.prompts] == [MaskPrompt]


def test_a_slice_erased_beyond_the_keys_ends_the_object_there():
    before = a_column()
    again = continue_from(PackedMask.of(edited(before, s6=False), 0), 0, [BOX_4], written=PackedMask.of(before, 0))
    assert again.bounds == (0, 5)
    assert again.locked == {6}


@pytest.mark.parametrize(
    ("erased", "bounds"),
    [(("s2",), (3, 8)), (("s1", "s2", "s3"), (4, 8)), (("s2", "s5", "s6"), (3, 4)), (("s4",), (0, 8))],
)
def test_erased_slices_bound_the_object_on_both_sides(erased, bounds):
    """Those next to the keys count; the slice that was drawn on ends nothing."""
    before = np.zeros((9, 6, 6), bool)
    before[1:8, 2:4, 2:4] = True
    now = edited(before, **dict.fromkeys(erased, False))
    drawn = [BOX_4] if "s4" not in erased else [Box(k=(3, 3), j=(2, 3), i=(2, 3)), Box(k=(5, 5), j=(2, 3), i=(2, 3))]
    again = continue_from(PackedMask.of(now, 0), 0, drawn, written=PackedMask.of(before, 0))
    assert again.bounds == bounds
    assert again.locked == {int(name[1:]) for name in erased}


def test_a_named_key_slice_is_a_prompt_though_nothing_changed():
    before = a_column()
    again = continue_from(PackedMask.of(before, 0), 0, [BOX_4], written=PackedMask.of(before, 0), keys=[5])
    assert [type(p) for p in again.prompts] == [Box, MaskPrompt]
    assert again.locked == {5}


@pytest.mark.parametrize("axis", [0, 2])
def test_the_new_mask_replaces_the_old_result_keeps_hand_work_and_locked_slices(axis):
    previous = a_column()
    current = edited(previous, s4=False)
    current[0, 5, 5] = current[4, 0, 0] = True
    result = np.zeros_like(previous)
    result[3:6, 1:3, 1:3] = True
    packed = PackedMask.of(result, 0)
    before = PackedMask.of(previous, axis)
    new = merged(PackedMask.of(current, axis), packed, previous=before, locked=[4]).unpack()
    assert new[0, 5, 5]
    assert not new[2].any()
    assert new[4].sum() == 1
    assert new[4, 0, 0]
    np.testing.assert_array_equal(new[3], result[3])


def test_a_first_run_adds_to_what_is_there():
    current, result = a_column(), np.zeros((9, 6, 6), bool)
    result[0] = True
    new = merged(PackedMask.of(current, 0), PackedMask.of(result, 0))
    np.testing.assert_array_equal(new.unpack(), current | result)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_that_differ_from_what_was_written_are_found_across_its_axis(axis):
    before = a_column()
    now = before.copy()
    now[8, 5, 0] = True
    now[2, 2, 2] = False
    changed = {0: [2, 8], 1: [2, 5], 2: [0, 2]}[axis]
    assert PackedMask.of(before, axis).changed_slices(PackedMask.of(now, 0)) == changed


# --- queue ---------------------------------------------------------------------------------------------------------

NO_SEGMENT = SelectedSegment("", "", empty=True)
EMPTY = SelectedSegment("s1", "Lesion", empty=True)
FULL = SelectedSegment("s1", "Lesion", empty=False)


def put(queue, box, segment, *, k=2, new_segments=True, extend=False):
    plane = SlicePlane(0, k)
    box = Box(k=(k, k), j=box[:2], i=box[2:])
    return place_box(
        queue, plane, box, segment, new_segments=new_segments, extend=extend, next_name=f"Segment_{len(queue) + 1}"
    )


HERE, NEAR, FAR = (0, 9, 0, 9), (1, 10, 1, 10), (30, 39, 30, 39)


def test_the_first_box_takes_the_empty_segment_and_the_next_one_a_new():
    queue = ObjectQueue()
    first, second = put(queue, HERE, EMPTY), put(queue, FAR, EMPTY)
    assert (first.segment_id, first.name) == ("s1", "Lesion")
    assert (second.segment_id, second.name) == ("", "Segment_2")
    assert queue.current is second


def test_a_box_over_one_that_has_not_run_redraws_it():
    queue = ObjectQueue()
    first = put(queue, HERE, EMPTY)
    assert put(queue, NEAR, EMPTY) is first
    assert len(first.prompts.all()) == 1
    assert first.prompts.all()[0].i == (1, 10)
    assert put(queue, NEAR, EMPTY, k=3) is not first


@pytest.mark.parametrize(
    ("box", "redraws"),
    # Of 100 and 100 pixels with n in common, n / (200 - n): a tenth lies between 18 and 19.
    [((0, 9, 8, 17), True), ((0, 9, 9, 18), False), ((4, 13, 7, 16), False), ((4, 13, 6, 15), True)],
)
def test_a_box_that_shares_more_than_a_tenth_redraws_the_other(box, redraws):
    queue = ObjectQueue()
    first = put(queue, HERE, NO_SEGMENT)
    assert (put(queue, box, NO_SEGMENT) is first) is redraws


def test_undo_finds_the_result_of_any_run_that_the_editor_still_keeps():
    item = QueuedObject("x")
    results = [WrittenResult(0, {}, voxels=100 + n) for n in range(KEPT_STATES + 2)]
    for result in results:
        item.complete(result)
    assert item.result is results[-1]
    for result in reversed(results[-KEPT_STATES:]):
        item.settle(result.voxels)
        assert item.result is result
    item.settle(results[0].voxels)
    assert item.result is results[-KEPT_STATES], "older than anything that Undo brings back"
    item.settle(0)
    assert item.result is None
    assert item.state is ObjectState.UNDONE


def test_undo_finds_what_any_earlier_run_left_in_the_segment():
    states = [Written(PackedMask.of(np.arange(216).reshape(6, 6, 6) < n, 0), ()) for n in range(1, KEPT_STATES + 4)]
    item = QueuedObject("x")
    for state in states:
        item.remember(state)
    kept = [*item.earlier, item.written]
    assert kept == states[-len(kept) :]
    assert len(kept) == KEPT_STATES + 1, "as many as can be undone, and what is there now"
    for state in kept:
        assert item.state_of(state.packed) is state
    drawn_by_hand = PackedMask.of(np.ones((6, 6, 6), bool), 0)
    assert item.state_of(drawn_by_hand) is states[-1]
    assert item.state_of(PackedMask((6, 6, 6), 0)) is None


def test_with_control_the_box_belongs_to_the_current_object():
    queue = ObjectQueue()
    first = put(queue, HERE, EMPTY)
    first.state = ObjectState.DONE
    assert put(queue, FAR, FULL, k=5, extend=True) is first
    assert first.state is ObjectState.WAITING
    assert len(first.prompts.all()) == 2


def test_with_control_the_box_does_not_go_to_the_selected_segment_while_another_object_is_drawn():
    queue = ObjectQueue()
    finished = put(queue, HERE, EMPTY)
    finished.state = ObjectState.DONE
    drawn = put(queue, FAR, FULL)
    assert put(queue, FAR, FULL, k=5, extend=True) is drawn
    assert finished.state is ObjectState.DONE
    assert len(finished.prompts.all()) == 1


def test_with_control_and_no_current_object_the_box_belongs_to_the_selected_segment():
    queue = ObjectQueue()
    assert put(queue, HERE, FULL, extend=True).segment_id == "s1"
    queue.select(None)
    assert put(queue, FAR, FULL, k=5, extend=True) is queue.rows[0]
    assert put(ObjectQueue(), HERE, NO_SEGMENT, extend=True).segment_id == ""


def test_a_box_in_a_full_segment_starts_a_new_one_or_extends_it_as_the_option_says():
    queue = ObjectQueue()
    assert put(queue, HERE, FULL).segment_id == ""
    queue.clear()
    assert put(queue, HERE, FULL, new_segments=False).segment_id == "s1"
    assert len(queue) == 1
    assert put(queue, FAR, FULL, k=4, new_segments=False).segment_id == "s1"
    assert len(queue) == 1


def test_after_undo_the_empty_segment_is_drawn_anew():
    queue = ObjectQueue()
    put(queue, HERE, EMPTY).state = ObjectState.DONE
    again = put(queue, FAR, EMPTY)
    assert again.segment_id == "s1"
    assert len(queue) == 1
    assert len(again.prompts.all()) == 1


def test_without_any_segment_every_box_is_a_new_one():
    queue = ObjectQueue()
    assert [put(queue, box, NO_SEGMENT).segment_id for box in (HERE, FAR)] == ["", ""]


def test_run_all_takes_what_has_not_succeeded_and_stepping_goes_round():
    queue = ObjectQueue()
    rows = [put(queue, (n * 12, n * 12 + 9, 0, 9), NO_SEGMENT) for n in range(3)]
    rows[1].state = ObjectState.DONE
    rows[2].state = ObjectState.FAILED
    assert queue.waiting() == [rows[0], rows[2]]
    assert queue.step(1) is rows[0]
    assert queue.step(-1) is rows[2]
    queue.remove(rows[0])
    assert queue.current is rows[2]
    queue.remove(rows[2])
    assert queue.current is None, "its neighbour is finished"
    queue.clear()
    assert queue.step(1) is None


def test_overlap_is_intersection_over_union():
    assert box_iou((0, 0, 9, 9), (5, 0, 14, 9)) == pytest.approx(50 / 150)
    assert box_iou((0, 0, 9, 9), (10, 0, 14, 9)) == 0


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
