"""The engine around the model: encode once, order, range, direction, corrections, stop, cancel, memory."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fake_model import BrightPixels
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled, PromptError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry, take_slice
from MedSAMSegmentLib.inference.embedding_cache import PLAIN_VIEW, EmbeddingKey, SliceView
from MedSAMSegmentLib.inference.session import AxisView, VolumeSession
from MedSAMSegmentLib.inference.slice_prompts import SlicePrompts
from MedSAMSegmentLib.inference.strategies import default_strategy, make_strategy
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point
from MedSAMSegmentLib.propagation import StopRule
from MedSAMSegmentLib.results import Progress, SliceResult

SHAPE = (20, 40, 50)


def a_ball(centre: tuple[int, int, int] = (10, 20, 25), radius: float = 7.0) -> NDArray[np.bool_]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


def a_session(mask: NDArray[np.bool_], **options: object) -> VolumeSession:
    volume = to_uint8(np.where(mask, 255, 0).astype(np.uint8), "none")
    return VolumeSession(BrightPixels(), volume, VolumeGeometry.from_spacing(SHAPE), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("strategy", ["static", "handover"])
def test_a_box_around_a_ball_gives_the_ball_along_every_axis(axis: int, strategy: str) -> None:
    ball = a_ball()
    result = a_session(ball).propagate([Box.around(ball)], axis=axis, strategy=strategy)
    assert np.array_equal(result.objects[0].mask, ball)


def test_each_slice_is_encoded_once_for_all_objects_and_both_directions() -> None:
    first, second = a_ball((7, 12, 12), 5), a_ball((11, 28, 36), 6)
    session = a_session(first | second)
    result = session.propagate([Box.around(first), Box.around(second)], strategy="static")
    spanned = {k for mask in (first, second) for k in np.flatnonzero(mask.any(axis=(1, 2)))}
    assert result.encodes == len(spanned)
    assert result.predictions == sum(len(item.slices) for item in result.objects)
    assert np.array_equal(result.objects[0].mask, first)
    assert np.array_equal(result.objects[1].mask, second)


def test_a_second_prompt_on_the_same_slices_encodes_nothing() -> None:
    ball = a_ball()
    session = a_session(ball)
    session.propagate([Box.around(ball)])
    assert session.propagate([Box.around(ball)]).encodes == 0


def test_the_views_of_a_slice_are_kept_apart() -> None:
    pixels = np.arange(SHAPE[1] * SHAPE[2]).reshape(SHAPE[1:]).astype(np.uint8)
    volume = to_uint8(np.repeat(pixels[None], SHAPE[0], axis=0), "none")
    session = VolumeSession(BrightPixels(), volume, VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]
    plain = AxisView(session, 0, lambda: False)
    crop = (10, 5, 29, 24)
    part = pixels[5:25, 10:30]
    views = {
        PLAIN_VIEW: pixels,
        SliceView(inverted=True): 255 - pixels,
        SliceView(crop): part,
        SliceView(crop, inverted=True): 255 - part,
    }
    for encodes in (4, 4):  # the second time all of them are kept
        for view, expected in views.items():
            np.testing.assert_array_equal(plain.seen(view).embedding(3).pixels, expected)  # type: ignore[attr-defined]
        assert session.counters.encodes == encodes
    keys = {EmbeddingKey("m", "w", 0, 3, view) for view in views}
    assert len(keys | {EmbeddingKey("m", "w", 0, 3)}) == 4
    assert plain.seen(PLAIN_VIEW) is plain


def test_slices_outside_the_range_stay_empty() -> None:
    ball = a_ball()
    result = a_session(ball).propagate([Box.around(ball)], slice_range=(9, 12))
    assert sorted(result.objects[0].slices) == [9, 10, 11, 12]
    assert not result.mask[:9].any()
    assert not result.mask[13:].any()


@pytest.mark.parametrize(("direction", "expected"), [("up", range(10, 18)), ("down", range(3, 11))])
def test_direction_limits_the_run_to_one_side_of_the_key_slice(direction: str, expected: range) -> None:
    ball = a_ball()
    result = a_session(ball).propagate([Box.around(ball)], direction=direction)  # type: ignore[arg-type]
    assert sorted(result.objects[0].slices) == list(expected)


def test_the_key_slice_comes_first_then_upwards_then_downwards() -> None:
    ball = a_ball()
    order = [item.index for item in a_session(ball).iter_propagate([Box.around(ball)])]
    assert order == [10, *range(11, 18), *range(9, 2, -1)]


def test_a_box_on_one_slice_stops_by_itself_at_the_ends_of_the_object() -> None:
    ball = a_ball(radius=7.3)
    outline = Box.around(ball[10][None])
    result = a_session(ball).propagate([Box(i=outline.i, j=outline.j, k=(10, 10))])
    assert np.array_equal(result.mask, ball)
    assert sorted(result.objects[0].slices) == list(range(3, 18))


def test_the_stop_rule_ends_a_run_that_leaks() -> None:
    mask = a_ball()
    mask[14] = True
    box = Box(i=(0, 49), j=(0, 39), k=(5, 18))
    result = a_session(mask).propagate([box], stop=StopRule(), strategy="static")
    assert max(result.objects[0].slices) == 13


def test_a_corrected_slice_stays_and_is_handed_over_to_its_neighbours() -> None:
    ball = a_ball()
    outline = Box.around(ball[10][None])
    corrected = np.zeros(SHAPE[1:], dtype=bool)
    corrected[18:23, 23:28] = True
    prompts = [Box(i=outline.i, j=outline.j, k=(10, 10)), MaskPrompt(0, 14, corrected)]
    session = a_session(ball)
    result = session.propagate([prompts], slice_range=(3, 17))
    assert np.array_equal(result.mask[14], corrected)
    assert result.objects[0].slices[14].key
    masks = [p.mask_logits for p in session.predictor.asked if p.mask_logits is not None]  # type: ignore[attr-defined]
    assert any(np.array_equal(mask > 0, corrected) for mask in masks)


def test_points_belong_to_the_slice_they_lie_on() -> None:
    ball = a_ball()
    result = a_session(ball).segment_slice(0, 10, Point(25, 20, 10))
    assert isinstance(result, SliceResult)
    assert result.mask[20, 25]
    with pytest.raises(PromptError):
        a_session(ball).segment_slice(0, 11, Point(25, 20, 10))


def test_a_preview_of_any_slice_of_a_3d_box_uses_its_bounds() -> None:
    ball = a_ball()
    preview = a_session(ball).segment_slice(0, 5, Box.around(ball))
    assert np.array_equal(preview.mask, take_slice(ball, 0, 5))


def test_cancel_answers_within_one_slice_and_raises() -> None:
    ball = a_ball()
    seen: list[int] = []
    with pytest.raises(Cancelled):
        a_session(ball).propagate(
            [Box.around(ball)], on_slice=lambda s: seen.append(s.index), cancel=lambda: len(seen) >= 3
        )
    assert len(seen) == 3


def test_progress_counts_every_slice_of_every_object() -> None:
    ball = a_ball()
    told: list[Progress] = []
    a_session(ball).propagate([Box.around(ball), Box.around(ball)], on_progress=told.append)
    assert [p.done for p in told] == list(range(1, 31))
    assert {p.total for p in told} == {30}


def test_the_cache_never_passes_its_limit() -> None:
    ball = a_ball()
    one_slice = SHAPE[1] * SHAPE[2]
    session = a_session(ball, cache_bytes=3 * one_slice + 10)
    seen: list[int] = []
    session.propagate([Box.around(ball)], on_slice=lambda _: seen.append(session.cache.nbytes))
    assert max(seen) == 3 * one_slice
    assert len(session.cache) == 3


def test_an_embedding_larger_than_the_limit_is_used_but_not_kept() -> None:
    ball = a_ball()
    session = a_session(ball, cache_bytes=10)
    assert np.array_equal(session.propagate([Box.around(ball)]).mask, ball)
    assert session.cache.nbytes == 0


def test_empty_slices_inside_the_box_are_flagged() -> None:
    ball = a_ball()
    box = Box.around(ball)
    ball[8] = False
    result = a_session(ball).propagate([box], strategy="static")
    assert result.objects[0].slices[8].flags == ("empty",)
    assert result.objects[0].flagged == [8]


def test_an_area_that_jumps_is_flagged() -> None:
    ball = a_ball()
    ball[12, 18:23, 20:30] &= False
    ball[12] = False
    ball[12, 20, 25] = True
    result = a_session(ball).propagate([Box.around(a_ball())])
    assert "area-jump" in result.objects[0].slices[12].flags


def test_later_objects_stand_over_earlier_ones_in_the_label_map() -> None:
    ball = a_ball()
    result = a_session(ball).propagate([Box.around(ball), Box.around(ball)])
    assert set(np.unique(result.label_map())) == {0, 2}


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.propagate([]),
        lambda s: s.propagate([Box(i=(0, 9), j=(0, 9), k=(30, 40))]),
        lambda s: s.propagate([Point(1, 1, 1, positive=False)]),
        lambda s: s.propagate([Box(i=(0, 9), j=(0, 9), k=(1, 4))], slice_range=(9, 3)),
        lambda s: s.propagate([Box(i=(0, 9), j=(0, 9), k=(1, 4))], slice_range=(30, 33)),
        lambda s: s.propagate([[Box(i=(0, 9), j=(0, 9), k=(1, 4)), Box(i=(0, 9), j=(0, 9), k=(2, 6))]]),
    ],
)
def test_prompts_that_do_not_fit_raise_a_prompt_error(call: object) -> None:
    with pytest.raises(PromptError):
        call(a_session(a_ball()))  # type: ignore[operator]


@pytest.mark.parametrize("options", [{"axis": 3}, {"direction": "left"}, {"strategy": "magic"}, {"names": ["a", "b"]}])
def test_options_that_do_not_exist_raise_a_usage_error(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        a_session(a_ball()).propagate([Box.around(a_ball())], **options)  # type: ignore[arg-type]


def test_a_session_is_plain_unless_it_is_told_otherwise() -> None:
    session = a_session(a_ball())
    assert session.device == "cpu"
    assert session.cache.limit_bytes == 400 * 1024 * 1024
    assert (session.reference, session.time_series, session.keep_speckle) == (False, False, False)
    assert vars(session.counters) == {"encodes": 0, "predictions": 0}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_crop_is_shown_alone_and_its_answer_lies_where_it_belongs(axis: int) -> None:
    ball = a_ball()
    session = a_session(ball)
    rows, columns = take_slice(ball, axis, 0).shape
    crop = (5, 1, columns - 4, rows - 2)
    whole = AxisView(session, axis, lambda: False)
    assert whole.longer_side == max(rows, columns)
    assert whole.count == SHAPE[axis]
    view = whole.seen(SliceView(crop))
    assert view.longer_side == max(columns - 8, rows - 2)
    index = (10, 20, 25)[axis]
    assert view.embedding(index).pixels.shape == (rows - 2, columns - 8)  # type: ignore[attr-defined]
    box = Box.around(ball).in_plane(axis)
    found = view.predict(index, SlicePrompts(box_xyxy=box))
    assert np.array_equal(found.mask, take_slice(ball, axis, index))
    assert np.array_equal(view.smoothed_mask(found), found.mask)
    handed_over = view.handover_prompts(found.mask, 1)
    assert handed_over is not None
    assert handed_over.box_xyxy == (box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2)
    assert view.handover_prompts(np.zeros((rows, columns), dtype=bool), 1) is None
    assert np.array_equal(view.mask_to_low_res(found.mask, (rows - 2, columns - 8)), found.mask[1:-1, 5:-3])


def test_an_inverted_view_is_the_complement_of_what_is_there() -> None:
    session = a_session(a_ball())
    view = AxisView(session, 0, lambda: False, SliceView(inverted=True))
    assert np.array_equal(view.embedding(10).pixels, 255 - view.pixels(10))  # type: ignore[attr-defined]
    assert view.seen(SliceView(inverted=True)) is view
    assert session.counters.encodes == 1


def test_decisions_are_made_once_for_an_axis_slice_and_question_and_the_oldest_go() -> None:
    session = a_session(a_ball())
    view = AxisView(session, 0, lambda: False)
    made: list[int] = []

    def decide(index: int, about: object = "box", axis: AxisView = view) -> None:
        axis.cached_decision(index, about, lambda: made.append(index) or SliceView(inverted=True))  # type: ignore[func-returns-value]

    for _ in range(2):
        decide(1)
        decide(1, "another")
        decide(1, axis=AxisView(session, 1, lambda: False))
    assert made == [1, 1, 1]
    for index in range(2, 2 + 253):
        decide(index)
    assert len(session.decisions) == 256
    decide(1)
    assert len(made) == 256, "the first is still known"
    decide(999)
    assert len(session.decisions) == 256
    decide(1, "another")
    assert len(made) == 257, "only the oldest went"
    decide(1)
    assert len(made) == 258


def test_crops_are_remembered_to_a_number_the_latest_ones() -> None:
    session = a_session(a_ball())
    view = AxisView(session, 0, lambda: False)
    crops = [(1000 * n, 0, 1000 * n + 9, 9) for n in range(70)]
    assert [view.key_crop(crop) for crop in crops] == crops
    assert list(session.key_crops[0]) == crops[-64:]
    later = AxisView(session, 0, lambda: False)
    near = (crops[-1][0] + 1, 0, crops[-1][2] + 1, 9)
    assert later.key_crop(near) == crops[-1]
    assert view.key_crop(near) == near, "what was not known when the view was made is not taken"
    assert AxisView(session, 1, lambda: False).key_crop(near) == near


def test_a_closed_session_has_forgotten_what_it_found() -> None:
    ball = a_ball()
    with a_session(ball) as session:
        session.propagate([Box.around(ball)])
        assert len(session.cache)
        assert session.preferred_views
    assert not len(session.cache)
    assert (session.decisions, session.preferred_views, session.key_crops) == ({}, {}, {})


@pytest.mark.parametrize("reference", [False, True])
def test_in_the_reference_the_number_of_an_object_enters_the_handover(
    monkeypatch: pytest.MonkeyPatch, reference: bool
) -> None:
    ball = a_ball()
    session = a_session(ball, reference=reference)
    asked: set[int] = set()
    honest = AxisView.handover_prompts
    monkeypatch.setattr(
        AxisView, "handover_prompts", lambda view, mask, label: asked.add(label) or honest(view, mask, label)
    )
    session.propagate([Box.around(ball), Box.around(ball)], strategy="handover")
    assert asked == ({1, 2} if reference else {1})


def test_behind_an_empty_slice_the_key_slice_s_box_is_used_again() -> None:
    ball = a_ball()
    ball[11] = False
    result = a_session(ball).propagate([Box.around(ball)], strategy="handover").objects[0]
    assert np.array_equal(result.mask, ball)
    painted = MaskPrompt(0, 10, ball[10])
    result = a_session(ball).propagate([painted], strategy="handover", slice_range=(9, 13)).objects[0]
    assert np.array_equal(result.mask[9:14], ball[9:14])


@pytest.mark.parametrize(
    ("kind", "reference", "name"),
    [
        ("slice", False, "consensus"),
        ("slice", True, "handover"),
        ("memory", False, "memory"),
        ("memory", True, "memory"),
    ],
)
def test_each_kind_of_model_has_its_strategy(kind: str, reference: bool, name: str) -> None:
    assert default_strategy(SimpleNamespace(kind=kind), reference) == name  # type: ignore[arg-type]
    assert make_strategy(name).name == name
