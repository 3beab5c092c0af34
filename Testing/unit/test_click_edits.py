"""A click on one slice: its pixel gets its label, and nothing changes but a region about it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.strategies import click_edits
from MedSAMSegmentLib.inference.strategies.click_edits import (
    CORE_SHARE,
    WINDOW_DEPTHS,
    WINDOW_MARGIN,
    Look,
    Middle,
    Region,
    contrast_behind,
    region_beside,
    region_of_click,
    smooth_grey,
    to_edge,
)

SHAPE = (96, 120)


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    v, u = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot(u - x, v - y) <= radius)


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


def edited(mask: NDArray[np.bool_], middle: Middle, pixels: NDArray[np.uint8], **more: object) -> NDArray[np.bool_]:
    region = region_of_click(pixels, mask, middle, **more)  # type: ignore[arg-type]
    if region is None:
        return mask
    return mask | region.pixels if middle.label else mask & ~region.pixels


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_slice_shows_the_pixel_is_right_and_the_change_is_near(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = disc(60, 48, 5 + 3 * seed) ^ disc(*random.uniform(20, 80, 2), 8)
    x, y = int(random.integers(SHAPE[1])), int(random.integers(SHAPE[0]))
    middle = Middle(x, y, not mask[y, x])
    changed = edited(mask, middle, noise(seed))
    assert changed[y, x] == middle.label
    region = region_of_click(noise(seed), mask, middle)
    assert region is not None
    rows, columns = np.nonzero(changed != mask)
    reach = WINDOW_DEPTHS * region.depth + WINDOW_MARGIN
    assert max(np.abs(rows - y).max(), np.abs(columns - x).max()) <= reach
    assert np.array_equal(changed != mask, region.pixels)
    assert np.array_equal(edited(changed, middle, noise(seed)), changed), "the same click again changes nothing"


def test_a_click_that_is_right_already_changes_nothing() -> None:
    mask = disc(60, 48, 20)
    assert region_of_click(noise(1), mask, Middle(60, 48, True)) is None
    assert region_of_click(noise(1), mask, Middle(5, 5, False)) is None


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (96, 120)])
@pytest.mark.parametrize("full", [False, True])
def test_masks_without_an_edge_and_thin_slices_are_no_trouble(size: tuple[int, int], full: bool) -> None:
    mask = np.full(size, full)
    region = region_of_click(np.zeros(size, dtype=np.uint8), mask, Middle(0, 0, not full))
    assert region is not None
    assert region.pixels[0, 0]


def test_a_missed_part_that_is_set_off_is_added_as_a_whole_and_alone() -> None:
    part = disc(60, 48, 16)
    pixels = np.where(part, 200, 60).astype(np.uint8)
    found = part & (np.arange(SHAPE[1]) < 58)
    changed = edited(found, Middle(66, 48, True), pixels)
    assert (changed ^ part).sum() <= 0.06 * part.sum()


def test_a_part_that_does_not_belong_is_taken_away_as_a_whole_and_alone() -> None:
    organ, stone = disc(50, 48, 20), disc(58, 52, 6)
    pixels = np.where(stone, 230, np.where(organ, 120, 40)).astype(np.uint8)
    changed = edited(organ, Middle(58, 52, False), pixels)
    assert (changed ^ (organ & ~stone)).sum() <= 0.25 * stone.sum()
    assert not changed[52, 58]


def test_without_a_visible_edge_it_stays_with_a_disc_of_about_the_depth() -> None:
    mask = disc(60, 48, 30)
    flat = np.full(SHAPE, 90, dtype=np.uint8)
    region = region_of_click(flat, mask, Middle(60, 30, False))
    assert region is not None
    assert region.look is None
    assert not (region.pixels & ~disc(60, 30, CORE_SHARE * region.depth)).any()


def test_what_is_far_larger_than_the_error_is_not_added() -> None:
    """A long part beside the object looks alike and is set off: it is another organ."""
    pixels = np.full(SHAPE, 60, dtype=np.uint8)
    pixels[38:59, 8:112] = 200
    region = region_of_click(pixels, disc(40, 48, 8), Middle(56, 48, True))
    assert region is not None
    assert region.look is None
    assert not (region.pixels & ~disc(56, 48, CORE_SHARE * region.depth)).any()


@pytest.mark.parametrize(
    ("radius", "steps", "goes_on"), [(10, 3, True), (14, 3, False), (10, 29, True), (10, 31, False)]
)
def test_a_part_that_grows_or_goes_on_for_long_is_another_one(radius: int, steps: int, goes_on: bool) -> None:
    empty, middle = np.zeros(SHAPE, dtype=bool), Middle(60, 48, True)
    first = region_of_click(np.where(disc(60, 48, 10), 200, 60).astype(np.uint8), empty, middle)
    assert first is not None
    pixels = np.where(disc(60, 48, radius), 200, 60).astype(np.uint8)
    beside = region_beside(pixels, empty, middle, first.pixels, first, steps=steps)
    whole = beside is not None and bool(beside.sum() > 0.8 * first.pixels.sum())
    assert whole is goes_on


def test_an_earlier_click_keeps_its_pixel() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    part = disc(60, 48, 16)
    pixels = np.where(part, 200, 60).astype(np.uint8)
    region = region_of_click(pixels, mask, Middle(60, 48, True), against=[(61, 48), (66, 50)])
    assert region is not None
    assert region.pixels[48, 60]
    assert not region.pixels[48, 61]
    assert not region.pixels[50, 66]


def test_nothing_is_added_outside_the_box_that_holds_the_click() -> None:
    pixels = np.where(disc(60, 48, 16), 200, 60).astype(np.uint8)
    mask = np.zeros(SHAPE, dtype=bool)
    region = region_of_click(pixels, mask, Middle(60, 48, True), bounds=(52, 40, 66, 58))
    assert region is not None
    assert region.look is not None
    assert np.array_equal(region.pixels, disc(60, 48, 16) & block(52, 40, 66, 58))
    outside = region_of_click(pixels, mask, Middle(10, 10, True), bounds=(50, 40, 66, 70))
    assert outside is not None
    assert outside.pixels[10, 10]


def test_a_region_goes_on_where_its_part_does_and_ends_with_it() -> None:
    part, middle = disc(60, 48, 10), Middle(60, 48, True)
    pixels = np.where(part, 200, 60).astype(np.uint8)
    empty = np.zeros(SHAPE, dtype=bool)
    first = region_of_click(pixels, empty, middle)
    assert first is not None
    assert first.look is not None
    smaller = np.where(disc(61, 48, 8), 200, 60).astype(np.uint8)
    beside = region_beside(smaller, empty, middle, first.pixels, first, steps=20)
    assert beside is not None
    assert (beside ^ disc(61, 48, 8)).sum() <= 0.15 * beside.sum()
    dark = np.full(SHAPE, 60, dtype=np.uint8)
    assert region_beside(dark, empty, middle, first.pixels, first, steps=20) is None
    assert region_beside(pixels, ~empty, middle, first.pixels, first, steps=1) is None, "all of it is right already"


def block(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    """Return the pixels of a rectangle, inclusive."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def with_its_edge(region: Region) -> bool:
    """Return whether a part was found with the largest tolerance; with others it begins a pixel farther inside."""
    return region.look is not None and region.look.tolerance == 45.0


def of_depth_four(columns: int, label: bool) -> Region:
    """Return the region of a click in a bright strip of 9 rows, four pixels from its upper edge, which is right.

    The strip is missed below an object, or belongs to a darker one that ends above it.
    """
    strip = block(40, 40, 39 + columns, 48)
    grey = np.where(strip, 200, 60).astype(np.uint8)
    mask = block(20, 10, 100, 39) if label else block(20, 40, 100, 80)
    region = region_of_click(grey, mask, Middle(40 + columns // 2, 43, label))
    assert region is not None
    assert region.depth == 4.0
    return region


@pytest.mark.parametrize(
    ("columns", "label", "whole"), [(13, True, True), (17, True, False), (13, False, True), (17, False, False)]
)
def test_a_part_is_at_most_two_and_a_half_discs_large(columns: int, label: bool, whole: bool) -> None:
    """A disc with the depth for its radius has 50 pixels; the strip has its columns times 9."""
    region = of_depth_four(columns, label)
    assert with_its_edge(region) is whole


@pytest.mark.parametrize(
    ("step", "tolerance"),
    [(140, 45.0), (70, 32.0), (50, 22.0), (30, 15.0), (20, 10.0), (12, 6.0), (8, None), (82, 45.0), (76, 32.0)],
)
def test_a_part_s_tolerance_is_the_largest_that_sets_it_off(step: int, tolerance: float | None) -> None:
    """Behind its edge the grey values have to differ by 1.75 times as much."""
    pixels = np.where(block(50, 40, 70, 56), 60 + step, 60).astype(np.uint8)
    region = region_of_click(pixels, np.zeros(SHAPE, dtype=bool), Middle(60, 48, True))
    assert region is not None
    assert (None if region.look is None else region.look.tolerance) == tolerance
    if region.look is not None:
        assert region.look.typical == pytest.approx(60 + step, abs=0.5)


@pytest.mark.parametrize(("half", "whole"), [(33, True), (34, False)])
def test_without_an_edge_the_depth_is_a_share_of_the_slice_and_no_part_leaves_its_window(
    half: int, whole: bool
) -> None:
    """Six depths of 3.75 and twelve pixels: the window ends 34 pixels from the click, and no part touches its edge."""
    square = block(60 - half, 48 - half, 60 + half, 48 + half)
    region = region_of_click(
        np.where(square, 200, 60).astype(np.uint8), np.zeros(SHAPE, dtype=bool), Middle(60, 48, True)
    )
    assert region is not None
    assert region.depth == SHAPE[1] / 32
    assert with_its_edge(region) is whole


def test_on_a_small_empty_slice_a_click_is_a_pixel_with_its_neighbours() -> None:
    flat = np.zeros((9, 9), dtype=np.uint8)
    region = region_of_click(flat, np.zeros((9, 9), dtype=bool), Middle(4, 4, True))
    assert region is not None
    assert region.depth == 1.0
    assert np.argwhere(region.pixels).tolist() == [[3, 4], [4, 3], [4, 4], [4, 5], [5, 4]]


def test_the_core_is_the_disc_that_reaches_two_fifths_beyond_the_depth() -> None:
    mask = disc(60, 48, 30)
    flat = np.full(SHAPE, 90, dtype=np.uint8)
    region = region_of_click(flat, mask, Middle(60, 30, False))
    assert region is not None
    assert region.look is None
    assert region.depth == pytest.approx(np.hypot(1, 12))
    assert np.array_equal(region.pixels, mask & disc(60, 30, 1.4 * region.depth))
    region = region_of_click(flat, block(20, 20, 100, 80), Middle(60, 24, False))
    assert region is not None
    assert region.depth == 5.0
    assert np.array_equal(region.pixels, disc(60, 24, 7) & block(20, 20, 100, 80)), "its rim included"


@pytest.mark.parametrize(("thirds", "belongs"), [(65, True), (67, False)])
def test_a_core_without_a_part_ends_where_grey_values_differ_by_22(thirds: int, belongs: bool) -> None:
    """The grey value of a coloured pixel is the mean of three."""
    pixels = np.full((*SHAPE, 3), 100, dtype=np.uint8)
    pixels[:, 65:] = [100 + thirds // 3, 100 + thirds // 3, 100 + thirds - 2 * (thirds // 3)]
    region = region_of_click(pixels, disc(60, 48, 30), Middle(60, 26, False))
    assert region is not None
    assert region.look is None
    assert region.pixels[26, 63]
    assert region.pixels[26, 68] == belongs


@pytest.mark.parametrize("radius", [1, 2, 3.9, 5, 12, 16])
def test_the_grey_value_of_a_click_is_the_median_within_half_its_depth(radius: float) -> None:
    """Of nine pixels at least; the part is all that is missed of a large object, so it is set off."""
    hole = disc(60, 48, radius)
    pixels = np.random.default_rng(int(10 * radius)).integers(100, 130, SHAPE, dtype=np.uint8)
    region = region_of_click(pixels, ~hole, Middle(60, 48, True))
    assert region is not None
    inner = hole & disc(60, 48, max(1.5, 0.5 * region.depth))
    assert region.look is not None
    assert region.look.typical == pytest.approx(float(np.median(smooth_grey(pixels)[inner])))
    assert np.array_equal(region.pixels, hole)


def test_grey_values_are_compared_through_a_gaussian_of_one_pixel() -> None:
    point = np.zeros((11, 11), dtype=np.uint8)
    point[5, 5] = 200
    smooth = smooth_grey(point)
    assert smooth.sum() == pytest.approx(200)
    assert smooth[5, 6] / smooth[5, 5] == pytest.approx(np.exp(-0.5))
    coloured = np.stack([point, np.zeros_like(point), np.zeros_like(point)], axis=-1)
    assert np.allclose(smooth_grey(coloured), smooth / 3)


@pytest.mark.parametrize(("x", "y"), [(0, 3), (8, 3), (4, 0), (4, 6)])
def test_a_part_touches_the_border_on_any_side(x: int, y: int) -> None:
    part = np.zeros((7, 9), dtype=bool)
    part[1:-1, 1:-1] = True
    assert not click_edits._touches_border(part)
    part[:] = False
    part[y, x] = True
    assert click_edits._touches_border(part)


def test_a_part_that_runs_out_of_the_slice_is_none() -> None:
    pixels = np.where(block(0, 44, 20, 52), 200, 60).astype(np.uint8)
    region = region_of_click(pixels, np.zeros(SHAPE, dtype=bool), Middle(5, 48, True))
    assert region is not None
    assert region.look is None


def test_an_edge_is_judged_by_the_second_and_third_pixel_behind_it_that_could_change() -> None:
    part = block(60, 48, 62, 48)
    away = np.abs(np.arange(SHAPE[1]) - 62) * 10.0 * np.ones(SHAPE)
    row = block(60, 48, 80, 48)
    assert contrast_behind(away, row, part) == 25.0
    assert contrast_behind(away, part, part) == np.inf
    assert contrast_behind(away, row & ~block(65, 48, 65, 48), part) == 20.0


def test_a_part_takes_the_pixels_at_its_edge_that_are_nearer_to_it_than_to_what_is_behind() -> None:
    part, open_ = block(60, 48, 62, 48), block(50, 48, 80, 48)
    difference = np.full(SHAPE, 40.0)
    assert np.array_equal(to_edge(part, difference, open_, 80.0), block(59, 48, 63, 48))
    assert np.array_equal(to_edge(part, difference, open_, 79.0), part)
    difference[48, 62] = 90.0
    assert np.array_equal(to_edge(part, difference, part, 80.0), part), "what is in the part stays in it"


@pytest.mark.parametrize(
    ("depth", "width", "stays"),
    [(3.9, 1, True), (4.0, 2, False), (4.0, 3, True), (7.9, 3, True), (8.0, 4, False), (40.0, 5, True)],
)
def test_bridges_are_cut_that_are_thin_for_the_depth(depth: float, width: int, stays: bool) -> None:
    bridge = block(20, 40, 90, 39 + width)
    assert bool(click_edits._opened(bridge, depth)[40 + width // 2, 55]) is stays


def test_a_piece_is_connected_by_sides() -> None:
    pixels = block(10, 10, 12, 12) | block(13, 13, 15, 15) | block(13, 11, 14, 11)
    assert np.array_equal(click_edits._piece_at(pixels, (10, 10)), block(10, 10, 12, 12) | block(13, 11, 14, 11))
    assert not click_edits._piece_at(pixels, (0, 0)).any()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((60, 48, 62, 50), (38, 61), (50, 73)),
        ((3, 2, 3, 2), (0, 13), (0, 14)),
        ((118, 93, 119, 95), (83, 96), (108, 120)),
    ],
)
def test_a_window_reaches_as_far_as_the_slice(
    box: tuple[int, int, int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    window = click_edits._window(box, 10, SHAPE)
    assert [(part.start, part.stop) for part in window] == [rows, columns]


def test_pixels_are_counted_from_the_slice_s_corner_not_from_the_window_s() -> None:
    window = slice(40, 60), slice(50, 80)
    assert np.array_equal(click_edits._distances(window, 55, 44) <= 6, disc(55, 44, 6)[window])
    bounds = (52, 41, 70, 50)
    assert np.array_equal(click_edits._within(bounds, window), block(*bounds)[window])
    for x, y, inside in (
        (52, 41, True),
        (70, 50, True),
        (51, 45, False),
        (71, 45, False),
        (60, 40, False),
        (60, 51, False),
    ):
        assert click_edits._contains(bounds, Middle(x, y, True)) is inside


@pytest.mark.parametrize(("away", "radius"), [(20, 3.0), (6, 3.0), (5, 2.5), (2, 1.0)])
def test_pixels_next_to_an_earlier_click_stay_or_those_nearer_to_it_than_to_this_one(away: int, radius: float) -> None:
    window = slice(30, 70), slice(40, 90)
    middle = Middle(60, 48, True)
    found = click_edits._open(np.zeros(SHAPE, dtype=bool), middle, window, [(60 + away, 48)], None)
    assert np.array_equal(found, ~disc(60 + away, 48, radius)[window])


def test_only_the_piece_about_the_click_may_change_within_the_box_that_holds_it() -> None:
    window = slice(30, 70), slice(40, 90)
    mask = ~(block(50, 40, 62, 50) | block(70, 40, 80, 50))
    for label, bounds, expected in (
        (True, None, block(50, 40, 62, 50)),
        (True, (55, 42, 90, 90), block(55, 42, 62, 50)),
        (True, (64, 42, 90, 90), block(50, 40, 62, 50)),
        (False, (55, 42, 90, 90), block(50, 40, 62, 50)),
    ):
        found = click_edits._open(mask if label else ~mask, Middle(58, 44, label), window, (), bounds)
        assert np.array_equal(found, expected[window])


def test_a_click_on_the_pixel_of_an_earlier_one_counts() -> None:
    flat, empty = np.full(SHAPE, 90, dtype=np.uint8), np.zeros(SHAPE, dtype=bool)
    region = region_of_click(flat, empty, Middle(60, 48, True), against=[(60, 48)])
    assert region is not None
    assert np.array_equal(region.pixels, disc(60, 48, 1.4 * region.depth))


@pytest.mark.parametrize(
    ("middle", "bounds", "depth"),
    [
        (Middle(300, 20, True), None, 290.0),
        (Middle(13, 24, True), None, 5.0),
        (Middle(300, 20, True), (250, 5, 380, 30), 11.0),
        (Middle(300, 20, True), (310, 5, 380, 30), 290.0),
        (Middle(10, 20, False), (10, 15, 20, 30), None),
    ],
)
def test_the_depth_is_the_distance_to_what_is_right_or_to_the_box_for_what_is_added(
    middle: Middle, bounds: tuple[int, int, int, int] | None, depth: float | None
) -> None:
    wrong = np.ones((40, 400), dtype=bool)
    if middle.label:
        wrong[20, 10] = False
    assert click_edits._depth(wrong, middle, bounds) == depth


@pytest.mark.parametrize("steps", [1, 7, 13, 14, 15])
def test_a_disc_goes_on_as_a_ball_does(steps: int) -> None:
    """Its radius is 1.4 depths on the clicked slice."""
    flat, mask = np.full(SHAPE, 90, dtype=np.uint8), disc(60, 48, 40)
    first = Region(disc(60, 48, 14), 10.0)
    beside = region_beside(flat, mask, Middle(60, 48, False), first.pixels, first, steps=steps)
    if steps >= 14:
        assert beside is None
    else:
        assert beside is not None
        assert np.array_equal(beside, disc(60, 48, np.sqrt(196 - steps**2)))


def test_a_disc_stays_within_the_slice_before_what_is_wrong_and_the_box() -> None:
    flat, middle = np.full(SHAPE, 90, dtype=np.uint8), Middle(60, 48, True)
    before = disc(60, 48, 14) & (np.arange(SHAPE[1]) > 55)
    mask = block(0, 0, 119, 44)
    first = Region(before, 10.0)
    for bounds, clipped in ((None, ~mask), ((0, 0, 64, 90), block(0, 45, 64, 90)), ((0, 0, 59, 90), ~mask)):
        beside = region_beside(flat, mask, middle, before, first, steps=1, bounds=bounds)
        assert beside is not None
        assert np.array_equal(beside, before & disc(60, 48, np.sqrt(195)) & ~mask & clipped)
    taken = region_beside(flat, ~mask, Middle(60, 48, False), before, first, steps=1, bounds=(0, 0, 64, 90))
    assert taken is not None
    assert np.array_equal(taken, before & disc(60, 48, np.sqrt(195)) & ~mask), "a box bounds what is added alone"
    kept = region_beside(flat, mask, middle, before, first, steps=1, against=[(62, 50)])
    assert kept is not None
    assert np.array_equal(kept, before & disc(60, 48, np.sqrt(195)) & ~mask & ~disc(62, 50, 3))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (119, 95), (60, 48)])
def test_a_region_goes_on_up_to_the_slice_s_edge(x: int, y: int) -> None:
    flat, empty = np.full(SHAPE, 90, dtype=np.uint8), np.zeros(SHAPE, dtype=bool)
    first = Region(disc(x, y, 7), 5.0)
    beside = region_beside(flat, empty, Middle(x, y, True), first.pixels, first, steps=1)
    assert beside is not None
    assert np.array_equal(beside, disc(x, y, np.sqrt(48)))
    assert region_beside(flat, empty, Middle(x, y, True), empty, first, steps=1) is None


@pytest.mark.parametrize(("radius", "goes_on"), [(10, True), (11, False)])
def test_a_part_is_at_most_as_large_as_on_the_clicked_slice(radius: int, goes_on: bool) -> None:
    """Though it grew but little from slice to slice."""
    part = disc(60, 48, radius)
    pixels, empty = np.where(part, 200, 60).astype(np.uint8), np.zeros(SHAPE, dtype=bool)
    first = Region(disc(60, 48, 10), 1.0, Look(200.0, 45.0))
    beside = region_beside(pixels, empty, Middle(60, 48, True), part, first, steps=5)
    assert (beside is not None) is goes_on


@pytest.mark.parametrize(("step", "goes_on"), [(45, True), (37, False)])
def test_a_part_goes_on_where_it_is_set_off_there_too(step: int, goes_on: bool) -> None:
    """By 1.75 times its tolerance on the clicked slice, 22."""
    part = disc(60, 48, 10)
    pixels, empty = np.where(part, 60 + step, 60).astype(np.uint8), np.zeros(SHAPE, dtype=bool)
    first = Region(part, 1.0, Look(60.0 + step, 22.0))
    beside = region_beside(pixels, empty, Middle(60, 48, True), part, first, steps=5)
    assert (beside is not None) is goes_on


def test_a_part_goes_on_in_the_pieces_that_lie_on_it() -> None:
    """Of which a pixel may lie beside it; what only begins beside it is another part."""
    before, alike = disc(60, 48, 7), disc(58, 48, 4) | block(68, 40, 76, 56)
    pixels = np.where(alike, 200, 60).astype(np.uint8)
    first = Region(disc(58, 48, 5), 1.0, Look(200.0, 45.0))
    beside = region_beside(pixels, np.zeros(SHAPE, dtype=bool), Middle(60, 48, True), before, first, steps=2)
    assert beside is not None
    assert not beside[:, 65:].any()
    assert (beside ^ disc(58, 48, 4)).sum() <= 0.2 * beside.sum()


@pytest.mark.parametrize("steps", [29, 30, 31])
def test_a_part_goes_on_for_three_times_its_radius(steps: int) -> None:
    """Of a disc as large: 314 pixels are one with a radius of just less than 10."""
    part = block(50, 40, 70, 54).copy()
    part[40, 50] = False
    pixels = np.where(part, 200, 60).astype(np.uint8)
    assert part.sum() == 314
    first = Region(part, 1.0, Look(200.0, 45.0))
    beside = region_beside(pixels, np.zeros(SHAPE, dtype=bool), Middle(60, 48, True), part, first, steps=steps)
    assert (beside is not None) is (steps <= 29)


BOX = (20, 8, 100, 88)


@pytest.mark.parametrize("bounds", [None, BOX])
def test_most_of_an_object_in_a_3d_box_is_never_taken_away(bounds: tuple[int, int, int, int] | None) -> None:
    """All of it looks alike, and nothing that could change lies behind its edge; without a box it may have ended."""
    object_ = disc(60, 48, 20)
    pixels = np.where(object_, 200, 60).astype(np.uint8)
    region = region_of_click(pixels, object_, Middle(60, 48, False), bounds=bounds)
    assert region is not None
    if bounds is None:
        assert np.array_equal(region.pixels, object_)
    else:
        assert region.pixels.sum() == pytest.approx(0.12 * object_.sum(), rel=0.05)
        assert np.array_equal(region.pixels, disc(60, 48, 1.4 * region.depth)), "and beside it goes on as that core"


@pytest.mark.parametrize(("rows", "whole"), [(19, True), (26, False)])
def test_a_part_that_is_taken_from_an_object_in_a_3d_box_is_three_tenths_of_it_at_most(rows: int, whole: bool) -> None:
    object_, part = block(40, 20, 79, 84), block(40, 20, 79, 19 + rows)
    pixels = np.where(part, 200, np.where(object_, 120, 60)).astype(np.uint8)
    region = region_of_click(pixels, object_, Middle(60, 19 + rows // 2, False), bounds=BOX)
    assert region is not None
    assert (region.look is not None) is whole


def test_what_is_added_in_a_3d_box_is_as_large_as_without_one() -> None:
    part, object_ = disc(60, 48, 10), block(20, 60, 100, 80)
    pixels = np.where(part, 200, 60).astype(np.uint8)
    bare, boxed = (region_of_click(pixels, object_, Middle(60, 48, True), bounds=b) for b in (None, BOX))
    assert bare is not None
    assert boxed is not None
    assert np.array_equal(bare.pixels, boxed.pixels)
