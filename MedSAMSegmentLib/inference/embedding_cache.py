"""A bounded store of image embeddings: encode once, prompt many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Crop = tuple[int, int, int, int]
"""x0, y0, x1, y1 of a part of a slice, inclusive pixels."""


NEAR_SHARE = 0.15
"""Of the longer side of a crop: another one whose sides lie so far from its own shows nearly the same."""


@dataclass(frozen=True)
class SliceView:
    """The part of a slice that a network is shown, all of it or a crop, with its grey values as they are or `inverted`
    (255 - v)."""

    crop: Crop | None = None
    inverted: bool = False


PLAIN_VIEW = SliceView()
"""All of a slice as it is."""


@dataclass(frozen=True)
class EmbeddingKey:
    """Everything that an embedding depends on."""

    model: str
    window: str
    axis: int
    index: int
    view: SliceView = PLAIN_VIEW


def nearest_crop(crop: Crop, known: Iterable[Crop]) -> Crop:
    """Return the one of the known crops that shows nearly the same as `crop`, which is returned where none does."""

    def distance(other: Crop) -> int:
        return max(abs(mine - its) for mine, its in zip(crop, other, strict=True))

    reach = NEAR_SHARE * (max(crop[2] - crop[0], crop[3] - crop[1]) + 1)
    return min((other for other in known if distance(other) <= reach), key=distance, default=crop)


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


class EmbeddingCache(Generic[T]):
    """Least recently used embeddings go first; the sum of `nbytes` never passes `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.nbytes = 0
        self._items: OrderedDict[EmbeddingKey, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: EmbeddingKey) -> bool:
        return key in self._items

    def get_or_compute(self, key: EmbeddingKey, compute: Callable[[], T]) -> T:
        """Return the stored value, or the computed one, which is kept if it fits the limit."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        value = compute()
        if value.nbytes <= self.limit_bytes:
            self._make_room(value.nbytes)
            self._items[key] = value
            self.nbytes += value.nbytes
        return value

    def clear(self) -> None:
        self._items.clear()
        self.nbytes = 0

    def _make_room(self, needed: int) -> None:
        while self._items and self.nbytes + needed > self.limit_bytes:
            _, dropped = self._items.popitem(last=False)
            self.nbytes -= dropped.nbytes
