"""From a case of a challenge to labels: the prompts of each class, one run each, later classes over earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError
from ..io.challenge_npz import ChallengeCase
from ..io.interactive_npz import InteractiveCase, MiddleBox
from ..io.volume import Volume
from ..prompts import Box, Point, Prompt
from ..results import Progress

if TYPE_CHECKING:
    from ..inference.session import VolumeSession
    from ..inference.slice_predictor import SlicePredictor

OnClass = Callable[[int, int, Progress], None]
"""Gets the number of a class, from 1, the count of them, and the slices of it that are done."""


@dataclass(frozen=True)
class ClassPrompts:
    """The prompts of one class; the first and last slice that it lies on, None where nothing says so."""

    prompts: tuple[Prompt, ...]
    slices: tuple[int, int] | None = None


def class_prompts(case: ChallengeCase | InteractiveCase) -> list[ClassPrompts]:
    """Return the prompts of each class in the order of its labels, 1 and up.

    A box of the interactive challenge is begun on the slice that it was drawn on. A class that is known by clicks on
    its background alone has no prompts.
    """
    shape = case.volume.shape_zyx
    if isinstance(case, ChallengeCase):
        return [ClassPrompts((with_area(box, shape),), box.fitted(shape).k) for box in case.boxes]
    found = []
    for number in range(case.class_count):
        clicks: tuple[Point, ...] = case.clicks[number] if number < len(case.clicks) else ()
        if number < len(case.boxes):
            found.append(_drawn(case.boxes[number], clicks, case.volume))
        else:
            found.append(ClassPrompts(clicks if any(click.positive for click in clicks) else ()))
    return found


def with_area(box: Box, shape_zyx: tuple[int, int, int]) -> Box:
    """Return the part of a box inside the volume, a voxel wider where it is one voxel wide or high: a box is drawn
    around an object of a single voxel, too. Raises `PromptError` for a box outside."""
    sides = {}
    for name, (first, last), size in zip("kji", box.bounds_zyx, shape_zyx, strict=True):
        if last < 0 or first >= size:
            raise PromptError(f"A box runs from {first} to {last} along {name}, the image from 0 to {size - 1}.")
        low, high = max(first, 0), min(last, size - 1)
        if name != "k" and low == high:
            low, high = (low - 1, high) if low else (low, min(high + 1, size - 1))
        sides[name] = (low, high)
    return Box(**sides)


def _drawn(box: MiddleBox, clicks: Sequence[Point], volume: Volume) -> ClassPrompts:
    whole = with_area(box.box, volume.shape_zyx)
    first, last = whole.k
    middle = min(max(box.middle, first), last)
    drawn = replace(whole, k=(middle, middle))
    return ClassPrompts((whole, drawn, *clicks) if first < last else (drawn, *clicks), (first, last))


def open_case(
    predictor: SlicePredictor, volume: Volume, *, mode: str = "default", keep_speckle: bool = False
) -> VolumeSession:
    """Open the image of a case. The challenges give values of 0 to 255, which are kept; others are scaled."""
    from ..inference.open import open_session

    array = volume.array_zyx
    scaled = bool(array.min() >= 0 and array.max() <= 255)
    return open_session(
        predictor,
        array,
        geometry=volume.geometry,
        window="none" if scaled and not volume.is_rgb else "auto",
        mode=mode,
        keep_speckle=keep_speckle,
    )


def answer_case(
    session: VolumeSession,
    case: ChallengeCase | InteractiveCase,
    *,
    strategy: str | None = None,
    on_class: OnClass | None = None,
) -> NDArray:
    """Return labels (z,y,x): class n + 1 where its prompts are the n-th. Where classes overlap the later one counts.

    Raises `PromptError` for a case without prompts or with prompts outside its image.
    """
    classes = class_prompts(case)
    if not any(one.prompts for one in classes):
        raise PromptError(f"{case.volume.source.name} has neither boxes nor clicks.", "Give a case with prompts.")
    labels = np.zeros(case.volume.shape_zyx, np.uint8 if len(classes) < 256 else np.uint16)
    for number, one in enumerate(classes, 1):
        if not one.prompts:
            continue

        def told(progress: Progress, number: int = number) -> None:
            if on_class is not None:
                on_class(number, len(classes), progress)

        result = session.propagate([one.prompts], slice_range=one.slices, strategy=strategy, on_progress=told)
        labels[result.objects[0].mask] = number
    return labels
