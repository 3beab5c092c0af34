"""What is kept of encoded slices, what goes first, and which crops show nearly the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from MedSAMSegmentLib.inference.embedding_cache import (
    PLAIN_VIEW,
    Crop,
    EmbeddingCache,
    EmbeddingKey,
    SliceView,
    nearest_crop,
)


def key(index: int, view: SliceView = PLAIN_VIEW) -> EmbeddingKey:
    return EmbeddingKey("model on cpu", "window", 0, index, view)


def filled(limit: int, *sizes: int) -> EmbeddingCache:
    cache: EmbeddingCache = EmbeddingCache(limit)
    for index, size in enumerate(sizes):
        cache.get_or_compute(key(index), lambda size=size: SimpleNamespace(nbytes=size))
    return cache


def refuse() -> SimpleNamespace:
    raise AssertionError("this is known")


def test_a_value_is_computed_once() -> None:
    cache = filled(10, 3)
    first = cache.get_or_compute(key(0), refuse)
    assert cache.get_or_compute(key(0), refuse) is first
    assert (len(cache), cache.nbytes) == (1, 3)


def test_the_least_recently_used_goes_when_the_limit_would_be_passed() -> None:
    cache = filled(10, 4, 3, 3)
    assert (len(cache), cache.nbytes) == (3, 10), "the limit itself may be reached"
    cache.get_or_compute(key(0), refuse)
    cache.get_or_compute(key(3), lambda: SimpleNamespace(nbytes=5))
    assert [index for index in range(4) if key(index) in cache] == [0, 3]
    assert cache.nbytes == 9


def test_what_is_larger_than_the_limit_is_given_and_not_kept() -> None:
    cache = filled(10, 4)
    assert cache.get_or_compute(key(1), lambda: SimpleNamespace(nbytes=11)).nbytes == 11
    assert [index for index in range(2) if key(index) in cache] == [0]
    cache.get_or_compute(key(2), lambda: SimpleNamespace(nbytes=10))
    assert (len(cache), cache.nbytes) == (1, 10)


def test_a_cleared_cache_is_empty_and_holds_as_much_again() -> None:
    cache = filled(10, 4, 6)
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)
    cache.get_or_compute(key(0), lambda: SimpleNamespace(nbytes=10))
    assert (len(cache), cache.nbytes) == (1, 10)


def test_views_of_one_slice_are_kept_beside_each_other() -> None:
    assert (PLAIN_VIEW.crop, PLAIN_VIEW.inverted) == (None, False)
    cache = filled(10, 1)
    for view in (SliceView((0, 0, 9, 9)), SliceView(inverted=True)):
        cache.get_or_compute(key(0, view), lambda: SimpleNamespace(nbytes=1))
    assert len(cache) == 3


@pytest.mark.parametrize(
    ("known", "taken"),
    [
        ([], (0, 0, 199, 99)),
        ([(30, 0, 199, 99)], (30, 0, 199, 99)),
        ([(31, 0, 199, 99)], (0, 0, 199, 99)),
        ([(0, 0, 199, 129)], (0, 0, 199, 129)),
        ([(0, 0, 168, 99)], (0, 0, 199, 99)),
        ([(20, 0, 199, 99), (5, 5, 204, 105), (9, 0, 199, 99)], (5, 5, 204, 105)),
    ],
)
def test_a_crop_whose_sides_lie_within_a_seventh_of_its_own_is_taken_for_it(known: list[Crop], taken: Crop) -> None:
    """Of its longer side: 30 pixels of 200."""
    assert nearest_crop((0, 0, 199, 99), known) == taken


def test_the_longer_side_counts_whichever_it_is() -> None:
    assert nearest_crop((50, 100, 149, 299), [(80, 100, 149, 299)]) == (80, 100, 149, 299)
    assert nearest_crop((50, 100, 149, 299), [(81, 100, 149, 299)]) == (50, 100, 149, 299)
