"""What a session keeps: whole runs by what was asked, and embeddings as far as the memory goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from MedSAMSegmentLib.inference.embedding_cache import EmbeddingCache, EmbeddingKey, SliceView
from MedSAMSegmentLib.inference.kept_runs import KeptRuns
from MedSAMSegmentLib.results import SliceResult


class Runs:
    """Runs of two slices each, and which of them were computed."""

    def __init__(self) -> None:
        self.kept = KeptRuns()
        self.computed: list[str] = []

    def ask(self, name: str, *, again: bool = True) -> list[SliceResult]:
        def run() -> Iterator[SliceResult]:
            self.computed.append(name)
            for index in (4, 5):
                mask = np.arange(35).reshape(5, 7) % (index - 1) == 0
                yield SliceResult(0, 0, index, mask, 0.5 + index / 100, ("low-score",), key=index == 4)

        return list(self.kept.results(name, run, again=again))


def test_what_was_asked_before_is_given_again_bit_by_bit() -> None:
    runs = Runs()
    first, second = runs.ask("a"), runs.ask("a")
    assert runs.computed == ["a"]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.mask.dtype == other.mask.dtype == bool
        assert (one.index, one.score, one.flags, one.key) == (other.index, other.score, other.flags, other.key)


def test_what_is_asked_anew_is_computed_and_kept_in_place_of_the_old() -> None:
    runs = Runs()
    runs.ask("a")
    runs.ask("a", again=False)
    runs.ask("a")
    assert runs.computed == ["a", "a"]


def test_the_run_that_was_not_used_longest_goes_first() -> None:
    runs = Runs()
    names = [str(number) for number in range(4)]
    for name in names:
        runs.ask(name)
    runs.ask(names[0])
    assert runs.computed == names, "all are kept"
    runs.ask("new")
    for name in (names[0], *names[2:], "new"):
        runs.ask(name)
    assert runs.computed == [*names, "new"]
    runs.ask(names[1])
    assert runs.computed == [*names, "new", names[1]]


def test_a_run_that_was_broken_off_is_not_kept() -> None:
    runs = Runs()
    results = runs.kept.results("a", lambda: iter(Runs().ask("a")), again=True)
    next(results)
    results.close()  # type: ignore[attr-defined]
    runs.ask("a")
    assert runs.computed == ["a"]


def test_after_clearing_nothing_is_kept() -> None:
    runs = Runs()
    runs.ask("a")
    runs.kept.clear()
    runs.ask("a")
    assert runs.computed == ["a", "a"]


@dataclass
class Embedding:
    nbytes: int


def key(index: int, view: SliceView | None = None) -> EmbeddingKey:
    return EmbeddingKey("toy", "none", 0, index, view or SliceView())


@pytest.fixture
def cache() -> EmbeddingCache[Embedding]:
    return EmbeddingCache(100)


def held(cache: EmbeddingCache[Embedding], *indices: int) -> list[bool]:
    return [key(index) in cache for index in indices]


def test_the_sum_never_passes_the_limit_and_may_reach_it(cache: EmbeddingCache[Embedding]) -> None:
    for index, size in ((0, 40), (1, 60)):
        cache.get_or_compute(key(index), lambda size=size: Embedding(size))  # type: ignore[misc]
    assert (len(cache), cache.nbytes, held(cache, 0, 1)) == (2, 100, [True, True])
    cache.get_or_compute(key(2), lambda: Embedding(1))
    assert (len(cache), cache.nbytes, held(cache, 0, 1, 2)) == (2, 61, [False, True, True])


def test_what_was_used_last_stays(cache: EmbeddingCache[Embedding]) -> None:
    for index in (0, 1, 0, 2):
        cache.get_or_compute(key(index), lambda: Embedding(50))
    assert held(cache, 0, 1, 2) == [True, False, True]


def test_what_is_larger_than_the_limit_is_computed_each_time_and_drives_nothing_out(
    cache: EmbeddingCache[Embedding],
) -> None:
    cache.get_or_compute(key(0), lambda: Embedding(30))
    sizes = [cache.get_or_compute(key(1), lambda: Embedding(101)).nbytes for _ in range(2)]
    assert sizes == [101, 101]
    assert (len(cache), cache.nbytes, held(cache, 0, 1)) == (1, 30, [True, False])
    cache.get_or_compute(key(2), lambda: Embedding(100))
    assert (cache.nbytes, held(cache, 0, 2)) == (100, [False, True])


def test_each_view_of_a_slice_has_its_own(cache: EmbeddingCache[Embedding]) -> None:
    plain = cache.get_or_compute(key(0), lambda: Embedding(10))
    near = cache.get_or_compute(key(0, SliceView((0, 0, 9, 9))), lambda: Embedding(10))
    turned = cache.get_or_compute(key(0, SliceView(inverted=True)), lambda: Embedding(10))
    assert len({id(plain), id(near), id(turned)}) == 3
    assert cache.get_or_compute(key(0), lambda: Embedding(10)) is plain
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)
