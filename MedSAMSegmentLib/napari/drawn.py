"""Shapes and points of layers as prompts: which object each belongs to, and on which slices it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError
from ..prompts import Box, Line, Point, Prompt
from .layer_image import LayerImage

OBJECT = "object"
"""The feature of a shape or a point that holds the number of its object."""

POSITIVE = "positive"
"""The feature of a point: whether it belongs to the object."""

DIGITS = 6
"""Of an index that are more than the rounding of a transform."""

FLAT = 0.5
"""An outline that spans less than this lies on one slice."""


def prompts_of(number: int, layer: Any, image: LayerImage, shapes: Any | None, points: Any | None) -> list[Prompt]:
    """Return the prompts of an object on the image of `layer`, boxes and lines before points.

    Those of other frames are left out. Raises `PromptError` for one that lies nowhere in the image.
    """
    found: list[Prompt] = []
    if shapes is not None:
        kinds = list(shapes.shape_type)
        for row in _rows(shapes, number):
            corners = _in_image(shapes, shapes.data[row], layer)
            if image.holds(corners):
                found.append(_outline(image.zyx(corners), kinds[row]).fitted(image.geometry.shape_zyx))
    if points is not None:
        positive = list(points.features[POSITIVE])
        for row in _rows(points, number):
            place = _in_image(points, points.data[row][None], layer)
            if image.holds(place):
                k, j, i = image.zyx(place)[0].tolist()
                found.append(Point(i, j, k, positive=bool(positive[row])).fitted(image.geometry.shape_zyx))
    return found


def axis_of(prompts: Sequence[Prompt], image: LayerImage, shown: int) -> int:
    """Return the axis across which an object was drawn; `shown` where its prompts do not tell.

    Raises `PromptError` in a video for what does not lie on a frame.
    """
    if image.geometry.shape_zyx[0] == 1:
        return 0
    outlined = [prompt for prompt in prompts if isinstance(prompt, (Box, Line))]
    axis = shown if not outlined else _axis(outlined[0])
    if image.time_axis and axis != 0:
        raise PromptError("This was drawn across frames.", "Draw on a frame: time must be the slider's axis.")
    return axis


def slice_of(prompt: Prompt, axis: int) -> int:
    """Return the slice across `axis` that a prompt lies on; the middle one of a box that spans several."""
    if isinstance(prompt, Box):
        return sum(prompt.along(axis)) // 2
    assert isinstance(prompt, (Point, Line))
    return prompt.slice_index(axis)


def _axis(prompt: Box | Line) -> int:
    if isinstance(prompt, Box):
        return next((axis for axis in range(3) if prompt.along(axis)[0] == prompt.along(axis)[1]), 0)
    first, last = (point.zyx for point in prompt.points)
    return next((axis for axis in range(3) if abs(first[axis] - last[axis]) < FLAT), 0)


def _rows(layer: Any, number: int) -> list[int]:
    return [row for row, owner in enumerate(layer.features[OBJECT]) if int(owner) == number]


def _in_image(layer: Any, coordinates: NDArray[np.float64], image_layer: Any) -> NDArray[np.float64]:
    """Return points (n,ndim) of a layer in the indices of the image's layer, without what the way there rounded."""
    there = np.array([image_layer.world_to_data(layer.data_to_world(point)) for point in coordinates])
    return np.round(there, DIGITS)


def _outline(corners_zyx: NDArray[np.float64], kind: str) -> Box | Line:
    """Return a line, or the box around any other shape."""
    corners = corners_zyx[:, ::-1]
    if kind != "line":
        return Box.enclosing(corners)
    start, end = ((float(i), float(j), float(k)) for i, j, k in corners)
    return Line(start, end)
