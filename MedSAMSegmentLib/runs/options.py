"""The options of one run, the same from the command line and from a row of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

Say: TypeAlias = Callable[[str], None]
"""Takes a sentence for the user."""

PromptOption: TypeAlias = tuple[str, Any]
"""Kind and values of a prompt as it was given: ("box", [i0, j0, k0, i1, j1, k1]), ("mask", (file, slice)), ..."""


@dataclass(frozen=True)
class RunOptions:
    """The options of `medsam-segment run` for one image that decide on its result."""

    image: str
    prompts: Sequence[PromptOption] = ()
    name: Sequence[str] = ()
    terminology: Sequence[str] = ()
    space: str | None = None
    line_as: Any = "box"
    frame: Any = None
    series: str | None = None
    spacing: Sequence[float] | None = None
    model: str | None = None
    weights: str | None = None
    window: str = "auto"
    axis: str = "k"
    range: Sequence[int] | None = None
    direction: Any = "both"
    stop: bool = False
    strategy: str | None = None
    reading: int = 1
    largest_component: bool = False
    keep_speckle: bool = False
    fill_holes: bool = False
    mode: str = "default"
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"

    @classmethod
    def of(cls, values: Mapping[str, Any], **other: Any) -> RunOptions:
        """Return the options among `values`, with `other` in their place."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in {**values, **other}.items() if name in known})


def silent(sentence: str) -> None:
    """Take a sentence that nobody is told."""
