"""Propagation through the slices: its directions, and where it stops by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["both", "up", "down"]
"""From the key slices to higher indices ("up"), to lower ones ("down"), or both."""

DIRECTIONS: tuple[Direction, ...] = ("both", "up", "down")


@dataclass(frozen=True)
class StopRule:
    """The end of propagation from a key slice: at an empty slice, a sudden growth, a low score.

    The slice that breaks the rule is not part of the result. A shrinking area is how an object ends, so only
    growth counts: more than `growth` times the area of the slice before.
    """

    growth: float = 2.5
    low_score: float = 0.5

    def is_met(self, area: int, previous_area: int, score: float) -> bool:
        """Return whether propagation should end before this slice; areas are in pixels, `score` is 0..1."""
        if area == 0 or score < self.low_score:
            return True
        return previous_area > 0 and area > self.growth * previous_area
