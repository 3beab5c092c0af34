"""The messages that wait to be sent to the worker, in the order in which they have to arrive."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .protocol import Request, request_payload

STEP_SECONDS = 0.01
"""After so long the event loop has its turn."""

Message = tuple[dict[str, Any], Mapping[str, NDArray]]
Steps = Iterator[Request | None]
MakeRequest = Callable[[], Request]


@dataclass(frozen=True, eq=False)
class _Item:
    """A request, made when it is sent, or the steps of sending a volume. `rest` gives way to other requests."""

    session: int
    request_id: int = 0
    make: MakeRequest | None = None
    steps: Steps | None = None
    rest: bool = False


class Outbox:
    """Requests go at once; those of a volume that is on its way wait for what they need of it.

    A step without a message costs time only. `session` is the number of a volume, 0 for none.
    """

    def __init__(self) -> None:
        self._urgent: deque[_Item] = deque()
        self._items: deque[_Item] = deque()

    @property
    def has_steps(self) -> bool:
        """Something waits only for its turn."""
        return bool(self._items)

    def add(self, request_id: int, make: MakeRequest) -> None:
        """Send a request before all that waits."""
        self._urgent.append(_Item(0, request_id, make))

    def add_behind(self, session: int, request_id: int, make: MakeRequest, *, all_parts: bool = True) -> None:
        """Send a request behind what waits of its volume; without `all_parts` before the rest of the parts."""
        self._insert(_Item(session, request_id, make), before_rest=not all_parts)

    def add_steps(self, session: int, steps: Steps, *, rest: bool = False) -> None:
        """Send parts of a volume. `rest` are those that a single slice does not wait for."""
        self._insert(_Item(session, steps=steps, rest=rest), before_rest=not rest)

    def add_urgent_steps(self, session: int, steps: Steps) -> None:
        """Send parts of a volume before all that waits."""
        self._urgent.append(_Item(session, steps=steps))

    def withdraw(self, request_id: int) -> bool:
        """Take back a request; False when it was sent."""
        for items in (self._urgent, self._items):
            item = next((i for i in items if i.make is not None and i.request_id == request_id), None)
            if item is not None:
                items.remove(item)
                return True
        return False

    def drop_steps(self, session: int) -> None:
        """Send no more parts of a volume."""
        self._items = deque(i for i in self._items if i.steps is None or i.session != session)

    def waits(self, session: int) -> bool:
        """Tell whether a request for this volume waits."""
        return any(i.make is not None and i.session == session for i in self._items)

    def take(self, has_room: Callable[[], bool]) -> Iterator[Message]:
        """Yield what can be sent now: all that is urgent, and the rest while there `has_room`, for a moment."""
        until = time.monotonic() + STEP_SECONDS
        while self._urgent:
            yield from self._urgent_messages(self._urgent.popleft())
        while self._items and has_room() and time.monotonic() < until:
            item = self._items[0]
            if item.make is not None:
                self._items.popleft()
                yield request_payload(item.make(), item.request_id)
                continue
            assert item.steps is not None
            for part in item.steps:
                if part is not None:
                    yield request_payload(part, 0)
                break
            else:
                self._items.remove(item)

    @staticmethod
    def _urgent_messages(item: _Item) -> Iterator[Message]:
        if item.make is not None:
            yield request_payload(item.make(), item.request_id)
        for part in item.steps or ():
            if part is not None:
                yield request_payload(part, 0)

    def _insert(self, item: _Item, *, before_rest: bool) -> None:
        place = len(self._items)
        if before_rest:
            rests = (n for n, other in enumerate(self._items) if other.rest and other.session == item.session)
            place = next(rests, place)
        self._items.insert(place, item)
