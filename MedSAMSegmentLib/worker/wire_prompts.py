"""Prompts as JSON fields and packed arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError, WorkerError
from ..geometry import IN_PLANE_AXES
from ..prompts import Box, Line, MaskPrompt, Point, Prompt
from .wire_masks import pack_mask, unpack_mask

Shape3 = tuple[int, int, int]
Arrays = dict[str, NDArray]


def shift_prompt(prompt: Prompt, offset_zyx: Shape3, shape_zyx: Shape3) -> Prompt:
    """Return the same prompt in the indices of a part of the volume that starts at `offset_zyx` and has `shape_zyx`."""
    if offset_zyx == (0, 0, 0):
        return prompt
    dk, dj, di = offset_zyx
    if isinstance(prompt, Box):
        (k0, k1), (j0, j1), (i0, i1) = prompt.bounds_zyx
        return Box(i=(i0 - di, i1 - di), j=(j0 - dj, j1 - dj), k=(k0 - dk, k1 - dk))
    if isinstance(prompt, Point):
        return Point(prompt.i - di, prompt.j - dj, prompt.k - dk, prompt.positive)
    if isinstance(prompt, Line):
        start, end = ((p[0] - di, p[1] - dj, p[2] - dk) for p in (prompt.start, prompt.end))
        return Line(start, end)
    rows, columns = (slice(offset_zyx[a], offset_zyx[a] + shape_zyx[a]) for a in IN_PLANE_AXES[prompt.axis])
    return MaskPrompt(prompt.axis, prompt.index - offset_zyx[prompt.axis], prompt.mask[rows, columns])


def encode_objects(objects: Sequence[Prompt | Sequence[Prompt]]) -> tuple[list[list[dict[str, Any]]], Arrays]:
    """Return JSON fields of each object's prompts, and the arrays that they name."""
    arrays: Arrays = {}
    encoded = []
    for prompts in objects:
        together = list(prompts) if isinstance(prompts, Sequence) else [prompts]
        encoded.append([_encode_prompt(prompt, arrays) for prompt in together])
    return encoded, arrays


def decode_objects(encoded: Sequence[Sequence[Mapping[str, Any]]], arrays: Mapping[str, NDArray]) -> list[list[Prompt]]:
    """Return the inverse. Raises `PromptError` for prompts that are none, `WorkerError` for fields that are none."""
    return [[_decode_prompt(fields, arrays) for fields in prompts] for prompts in encoded]


def _encode_prompt(prompt: Prompt, arrays: Arrays) -> dict[str, Any]:
    if isinstance(prompt, Box):
        return {"type": "box", "i": list(prompt.i), "j": list(prompt.j), "k": list(prompt.k)}
    if isinstance(prompt, Point):
        return {"type": "point", "ijk": [prompt.i, prompt.j, prompt.k], "positive": prompt.positive}
    if isinstance(prompt, Line):
        return {"type": "line", "start": list(prompt.start), "end": list(prompt.end)}
    if isinstance(prompt, MaskPrompt):
        fields, bits = pack_mask(prompt.mask)
        name = f"mask{len(arrays)}"
        arrays[name] = bits
        return {"type": "mask", "axis": prompt.axis, "index": prompt.index, "mask": {**fields, "bits": name}}
    raise PromptError(f"{type(prompt).__name__} is not a prompt.", "Give a box, a point, a line or a mask.")


def _decode_prompt(fields: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Prompt:
    try:
        kind = fields["type"]
        if kind == "box":
            return Box(i=tuple(fields["i"]), j=tuple(fields["j"]), k=tuple(fields["k"]))
        if kind == "point":
            i, j, k = fields["ijk"]
            return Point(i, j, k, bool(fields["positive"]))
        if kind == "line":
            return Line(tuple(fields["start"]), tuple(fields["end"]))
        if kind == "mask":
            mask: NDArray[np.bool_] = unpack_mask(fields["mask"], arrays[fields["mask"]["bits"]])
            return MaskPrompt(int(fields["axis"]), int(fields["index"]), mask)
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerError("A prompt arrived in a form that is not known.", "Start again.", repr(error)) from error
    raise WorkerError(f"The prompt type {fields.get('type')!r} is not known.", "Use the same version on both ends.")
