"""A click on one slice: its pixel gets its label, and nothing changes but a region about it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.strategies.click_edits import (
    CORE_SHARE,
    WINDOW_DEPTHS,
    WINDOW_MARGIN,
    Middle,
    region_beside,
    region_of_click,
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
    region = region_of_click(pixels, mask, Middle(60, 48, True), bounds=(50, 40, 66, 70))
    assert region is not None
    rows, columns = np.nonzero(region.pixels)
    assert (columns.min(), columns.max()) == (50, 66)
    assert rows.min() >= 40
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
