"""Prompts made from a reference mask, as a user would give them: a loose box, for some with a click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inference.slice_prompts import BoxXYXY

BOX_SHIFT = 5
"""Pixels of the network's input by which each side of a box is moved outwards, at most, as in the published
training."""

LEAST_PART = 20
"""Pixels of the network's input: smaller parts of an object are not asked for by themselves."""


RANDOM_SIDES = (0.08, 0.7)
"""Sides of a box around nothing in particular, in terms of the image."""


@dataclass(frozen=True, eq=False)
class SampledPrompt:
    """One prompt in pixels of the network's input: `box` x0, y0, x1, y1, and `click` (x, y) or None.

    `target` (h,w) bool is the answer that is wanted.
    """

    box: BoxXYXY
    click: tuple[float, float] | None
    target: NDArray[np.bool_]


def sample_prompt(target: NDArray[np.bool_], random: np.random.Generator, *, with_click: bool) -> SampledPrompt:
    """Return a prompt for a mask (h,w) that is not empty.

    With a click it asks for one part of the mask, if that has several, by a box around the part and a point in it.
    """
    click = None
    if with_click:
        target = _one_part(target, random)
        rows, columns = np.nonzero(target)
        chosen = int(random.integers(len(rows)))
        click = (float(columns[chosen]), float(rows[chosen]))
    return SampledPrompt(loose_box(target, random), click, target)


def loose_box(target: NDArray[np.bool_], random: np.random.Generator) -> BoxXYXY:
    """Return the box around a mask, each side up to `BOX_SHIFT` further out, and the image's end at most."""
    height, width = target.shape
    rows, columns = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
    left, right, top, bottom = (int(shift) for shift in random.integers(0, BOX_SHIFT + 1, 4))
    return (
        float(max(0, columns[0] - left)),
        float(max(0, rows[0] - top)),
        float(min(width, columns[-1] + right)),
        float(min(height, rows[-1] + bottom)),
    )


def random_prompt(side: int, random: np.random.Generator) -> SampledPrompt:
    """Return a box anywhere on the square that a network sees, around nothing in particular; its target is empty."""
    width, height = (max(4, round(side * float(np.exp(random.uniform(*np.log(RANDOM_SIDES)))))) for _ in range(2))
    x, y = (int(random.integers(0, side - length + 1)) for length in (width, height))
    box = (float(x), float(y), float(x + width - 1), float(y + height - 1))
    return SampledPrompt(box, None, np.zeros((side, side), dtype=bool))


def around_answer(prompt: SampledPrompt, answer: NDArray[np.bool_], random: np.random.Generator) -> SampledPrompt:
    """Return a loose box around what a network answered (h,w) to a prompt; the prompt itself where it saw nothing."""
    if answer.sum() < LEAST_PART:
        return prompt
    return SampledPrompt(loose_box(answer, random), None, prompt.target)


def _one_part(target: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.bool_]:
    from scipy import ndimage

    parts, _ = ndimage.label(target, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    large = np.flatnonzero(sizes >= min(LEAST_PART, sizes.max())) + 1
    return np.asarray(parts == large[int(random.integers(len(large)))])
