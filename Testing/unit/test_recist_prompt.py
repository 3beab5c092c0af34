from __future__ import annotations

import numpy as np
import pytest
from toy_sam2 import toy_model, toy_tracker

from MedSAMSegmentLib.errors import PromptError, UsageError
from MedSAMSegmentLib.inference.recist_prompt import RecistLine, prompt_by_line


def drawn(pixels: list[tuple[int, int]], shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for x, y in pixels:
        mask[y, x] = True
    return mask


FLAT = drawn([(10, 31), (11, 31), (12, 30), (13, 30), (14, 30), (15, 29), (16, 29)])


def test_the_ends_of_a_flat_line_are_its_furthest_pixels() -> None:
    assert RecistLine.from_mask(FLAT) == RecistLine((16.0, 29.0), (10.0, 31.0))


def test_in_reference_mode_the_ends_are_the_first_and_last_pixel_in_raster_order() -> None:
    assert RecistLine.from_mask(FLAT, reference=True) == RecistLine((15.0, 29.0), (11.0, 31.0))


def test_a_steep_line_has_the_same_ends_either_way() -> None:
    steep = drawn([(20, 5), (20, 6), (21, 7), (21, 8), (22, 9)])
    assert RecistLine.from_mask(steep) == RecistLine.from_mask(steep, reference=True)


def test_an_area_painted_as_a_line_takes_no_memory_of_its_size_squared() -> None:
    y, x = np.mgrid[:1000, :1000]
    disc = (x - 500) ** 2 + (y - 500) ** 2 <= 400**2
    line = RecistLine.from_mask(disc)  # half a million pixels
    assert line.length == 800
    small = disc[460:540:4, 90:910:10]
    pixels = np.argwhere(small)
    apart = np.sqrt(((pixels[:, None] - pixels[None]) ** 2).sum(axis=-1)).max()
    assert RecistLine.from_mask(small).length == pytest.approx(apart)


def test_one_pixel_is_no_line() -> None:
    with pytest.raises(PromptError, match="fewer than two"):
        RecistLine.from_mask(drawn([(3, 3)]))


def test_the_box_is_a_square_around_the_centre() -> None:
    assert RecistLine((10, 20), (40, 20)).box((60, 80)) == (10, 5, 40, 35)
    # centre (12.5, 8.5) -> (12, 8); length 5 -> 2
    assert RecistLine((11, 10), (14, 6.0)).box((60, 80)) == (10, 6, 14, 10)


def test_the_box_ends_at_the_border() -> None:
    assert RecistLine((2, 30), (2, 58)).box((60, 80)) == (0, 30, 16, 58)
    assert RecistLine((60, 50), (79, 59)).box((60, 80)) == (59, 44, 79, 59)


def test_points_of_a_line() -> None:
    line = RecistLine((10, 20), (40, 20))
    assert line.points("centre", (60, 80)).tolist() == [[25, 20]]
    assert line.points("three", (60, 80)).tolist() == [[25, 20], [10, 20], [40, 20]]
    grid = line.points("grid", (60, 80)).tolist()
    assert grid[0] == [10, 5]
    assert grid[4] == [25, 20]
    assert grid[-1] == [40, 35]
    assert len(grid) == 9
    with pytest.raises(UsageError, match="random"):
        line.points("random", (60, 80))


def test_the_slices_of_a_line_are_those_of_a_ball_with_its_diameter() -> None:
    line = RecistLine((10, 20), (40, 20))
    assert line.slice_range(20, 100, (1.0, 1.0, 1.0)) == (5, 35)
    # 30 pixels of 0.8 mm are 24 mm: 4.8 slices of 5 mm, two on each side
    assert line.slice_range(20, 100, (5.0, 0.8, 0.8)) == (18, 22)
    assert line.slice_range(1, 100, (5.0, 0.8, 0.8)) == (0, 3)
    assert line.slice_range(99, 100, (5.0, 0.8, 0.8)) == (97, 99)


def test_in_reference_mode_thick_slices_cover_almost_twice_the_extent() -> None:
    line = RecistLine((10, 20), (40, 20))
    # 30 * 2 * 0.8 / (0.8 + 5) = 8.27
    assert line.slice_range(20, 100, (5.0, 0.8, 0.8), reference=True) == (16, 24)
    assert line.slice_range(20, 100, (1.0, 1.0, 1.0), reference=True) == (5, 35)


def test_a_line_prompts_with_the_mask_that_its_box_gives() -> None:
    model = toy_model()
    tracker, by_hand = toy_tracker(model, depth=3), toy_tracker(model, depth=3)
    line = RecistLine((8, 14), (22, 15))
    answer = prompt_by_line(tracker, "a", 1, line)
    box = by_hand.add_points("a", 1, box_xyxy=line.box((40, 48)))
    expected = by_hand.add_mask("a", 1, box.mask)
    np.testing.assert_array_equal(answer.low_res_logits, expected.low_res_logits)
    assert answer.object_score == 10.0


def test_on_pixels_that_are_not_square_the_box_is_a_square_in_mm() -> None:
    """Pixels twice as high as wide: 30 pixels across are 15 down, and 10 down are 20 across."""
    assert RecistLine((20, 30), (50, 30)).box((60, 80), aspect=2.0) == (20, 23, 50, 37)
    assert RecistLine((30, 20), (30, 30)).box((60, 80), aspect=2.0) == (20, 20, 40, 30)
    # 6 across and 4 down of 2 are 10 long: 5 pixels across and 2 down from the middle at 33, 22.
    assert RecistLine((30, 20), (36, 24)).box((60, 80), aspect=2.0) == (28, 20, 38, 24)


def test_length_and_centre_lie_between_the_ends() -> None:
    line = RecistLine((11.0, 10.0), (14.0, 6.0))
    assert (line.length, line.centre) == (5.0, (12.5, 8.0))


def test_two_pixels_are_a_line() -> None:
    assert RecistLine.from_mask(drawn([(3, 3), (5, 4)])) == RecistLine((3.0, 3.0), (5.0, 4.0))
    assert RecistLine.from_mask(drawn([(3, 3), (9, 3)])) == RecistLine((3.0, 3.0), (9.0, 3.0))


def test_all_of_a_grid_lies_on_the_box() -> None:
    grid = RecistLine((10, 20), (40, 20)).points("grid", (60, 80))
    assert sorted(set(grid[:, 0])) == [10, 25, 40]
    assert sorted(set(grid[:, 1])) == [5, 20, 35]
    assert grid[1].tolist() == [25, 5]


def test_slices_end_at_the_volume_on_both_sides() -> None:
    line = RecistLine((10, 20), (41, 20))
    for reference in (False, True):
        assert line.slice_range(0, 3, (1.0, 1.0, 1.0), reference=reference) == (0, 2)
        assert line.slice_range(20, 100, (1.0, 1.0, 1.0), reference=reference) == (5, 35)
    assert line.slice_range(20, 100, (2.0, 1.0, 3.0)) == (5, 35), "31 pixels of 2 mm on the average, in slices of 2 mm"


def test_the_quality_of_a_line_s_answer_is_that_of_its_box() -> None:
    model = toy_model()
    tracker, by_hand = toy_tracker(model, depth=3), toy_tracker(model, depth=3)
    line = RecistLine((8, 14), (22, 15))
    answer = prompt_by_line(tracker, "a", 1, line)
    box = by_hand.add_points("a", 1, box_xyxy=line.box((40, 48)))
    assert (answer.iou, answer.ious) == (box.iou, box.ious)
    assert answer.prompted
    assert tracker.key_frames("a") == [1]
