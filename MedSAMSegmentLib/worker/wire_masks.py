"""Masks as packed bits of their tight box, and results made of them.

A mask of any number of axes travels as `{"shape", "lower", "extent"}` and the packed bits of the box that starts at
`lower` and has `extent`: an eighth of the bytes, and only where something is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WorkerError
from ..geometry import IN_PLANE_AXES
from ..results import ObjectResult, PackedMask, Segmentation3D, SliceResult, SliceScore

CURE = "Use the same version of the library on both ends."
Shape3 = tuple[int, int, int]
MAX_VOXELS = 1 << 34


def pack_mask(mask: NDArray[np.bool_]) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Return the fields and bits of a mask."""
    box = []
    for axis in range(mask.ndim):
        other = tuple(a for a in range(mask.ndim) if a != axis)
        inside = np.flatnonzero(mask.any(axis=other))
        box.append((int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0))
    part = mask[tuple(slice(first, stop) for first, stop in box)]
    fields = {
        "shape": list(mask.shape),
        "lower": [first for first, _ in box],
        "extent": [stop - first for first, stop in box],
    }
    return fields, np.packbits(part)


def unpack_mask(
    fields: Mapping[str, Any],
    bits: NDArray,
    *,
    offset: tuple[int, ...] | None = None,
    shape: tuple[int, ...] | None = None,
) -> NDArray[np.bool_]:
    """Return the mask. `offset` and `shape` place it in the larger grid that it was a part of. Raises `WorkerError`."""
    try:
        own, lower, extent = (tuple(int(n) for n in fields[name]) for name in ("shape", "lower", "extent"))
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerError("A mask arrived in a form that is not known.", CURE, repr(error)) from error
    grid = own if shape is None else shape
    start = lower if offset is None else tuple(n + m for n, m in zip(lower, offset, strict=True))
    _check_fits(grid, start, extent, bits)
    mask = np.zeros(grid, dtype=bool)
    part = np.unpackbits(bits, count=math.prod(extent)).reshape(extent)
    mask[tuple(slice(first, first + size) for first, size in zip(start, extent, strict=True))] = part
    return mask


def _check_fits(grid: tuple[int, ...], start: tuple[int, ...], extent: tuple[int, ...], bits: NDArray) -> None:
    sound = (
        len(grid) == len(start) == len(extent)
        and min((*start, *extent), default=0) >= 0
        and all(s + e <= n for s, e, n in zip(start, extent, grid, strict=True))
        and math.prod(grid) <= MAX_VOXELS
        and bits.dtype == np.uint8
        and bits.ndim == 1
        and bits.size == -(-math.prod(extent) // 8)
    )
    if not sound:
        raise WorkerError("A mask arrived that does not fit its grid.", CURE, f"{start} + {extent} in {grid}")


def encode_slice(result: SliceResult) -> tuple[dict[str, Any], dict[str, NDArray]]:
    fields, bits = pack_mask(result.mask)
    header = {
        "object_index": int(result.object_index),
        "axis": int(result.axis),
        "index": int(result.index),
        "score": float(result.score),
        "flags": list(result.flags),
        "key": bool(result.key),
        "mask": fields,
    }
    return header, {"bits": bits}


def decode_slice(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray], offset_zyx: Shape3, shape_zyx: Shape3
) -> SliceResult:
    """Return the slice in the indices of the whole volume of `shape_zyx`; the session holds the part at
    `offset_zyx`."""
    axis = int(header["axis"])
    rows, columns = IN_PLANE_AXES[axis]
    mask = unpack_mask(
        header["mask"],
        arrays["bits"],
        offset=(offset_zyx[rows], offset_zyx[columns]),
        shape=(shape_zyx[rows], shape_zyx[columns]),
    )
    return SliceResult(
        object_index=int(header["object_index"]),
        axis=axis,
        index=int(header["index"]) + offset_zyx[axis],
        mask=mask,
        score=float(header["score"]),
        flags=tuple(str(flag) for flag in header["flags"]),
        key=bool(header["key"]),
    )


def encode_segmentation(result: Segmentation3D) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """Encode the figures of the run, and of each object its slices (arrays) and its bits, cropped to where it lies."""
    arrays: dict[str, NDArray] = {}
    objects = [_encode_object(n, result.axis, item, arrays) for n, item in enumerate(result.objects)]
    figures = ("model", "strategy", "device", "window", "seconds", "encodes", "predictions")
    header = {"axis": result.axis, "objects": objects, **{name: getattr(result, name) for name in figures}}
    return header, arrays


def decode_segmentation(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray], offset_zyx: Shape3, shape_zyx: Shape3
) -> Segmentation3D:
    axis = int(header["axis"])
    objects = [
        _decode_object(fields, _arrays_of(n, arrays), axis, offset_zyx, shape_zyx)
        for n, fields in enumerate(header["objects"])
    ]
    return Segmentation3D(
        objects,
        axis=axis,
        shape_zyx=shape_zyx,
        **{name: str(header[name]) for name in ("model", "strategy", "device", "window")},
        seconds=float(header["seconds"]),
        encodes=int(header["encodes"]),
        predictions=int(header["predictions"]),
    )


def _encode_object(number: int, axis: int, item: ObjectResult, arrays: dict[str, NDArray]) -> dict[str, Any]:
    indices = sorted(item.slices)
    scores = [item.slices[index] for index in indices]
    arrays[f"{number}.indices"] = np.array(indices, dtype=np.int32)
    arrays[f"{number}.scores"] = np.array([s.score for s in scores], dtype=np.float64)
    arrays[f"{number}.areas"] = np.array([s.area for s in scores], dtype=np.int64)
    flags = {str(index): list(s.flags) for index, s in zip(indices, scores, strict=True) if s.flags}
    keys = [index for index, s in zip(indices, scores, strict=True) if s.key]
    fields, arrays[f"{number}.bits"] = _pack_slices(item.packed, axis)
    return {"name": item.name, "flags": flags, "keys": keys, "mask": fields}


def _pack_slices(packed: PackedMask, axis: int) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Run `pack_mask` on (slice, rows, columns) without ever unpacking more than the object's box."""
    order = (axis, *IN_PLANE_AXES[axis])
    shape = [packed.shape_zyx[a] for a in order]
    if not packed.slices:
        return {"shape": shape, "lower": [0, 0, 0], "extent": [0, 0, 0]}, np.empty(0, np.uint8)
    mask, first = packed.tight()
    fields = {"shape": shape, "lower": [first[a] for a in order], "extent": [mask.shape[a] for a in order]}
    return fields, np.packbits(np.moveaxis(mask, axis, 0))


def _arrays_of(number: int, arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    return {name: arrays[f"{number}.{name}"] for name in ("indices", "scores", "areas", "bits")}


def _decode_object(
    fields: Mapping[str, Any],
    arrays: Mapping[str, NDArray],
    axis: int,
    offset_zyx: Shape3,
    shape_zyx: Shape3,
) -> ObjectResult:
    rows, columns = IN_PLANE_AXES[axis]
    order = (axis, rows, columns)
    extent = tuple(int(n) for n in fields["mask"]["extent"])
    lower = tuple(int(n) + offset_zyx[a] for n, a in zip(fields["mask"]["lower"], order, strict=True))
    bits = arrays["bits"]
    _check_fits(tuple(shape_zyx[a] for a in order), lower, extent, bits)
    part = np.unpackbits(bits, count=math.prod(extent)).reshape(extent).astype(bool)
    packed = PackedMask(shape_zyx, axis)
    for index, inside in enumerate(part):
        packed.set_part(index + lower[0], inside, (lower[1], lower[2]))
    keys = set(fields["keys"])
    listed = (arrays[name].tolist() for name in ("indices", "scores", "areas"))
    slices = {
        int(index) + offset_zyx[axis]: SliceScore(
            float(score), int(area), tuple(fields["flags"].get(str(index), ())), index in keys
        )
        for index, score, area in zip(*listed, strict=True)
    }
    return ObjectResult(str(fields["name"]), packed, slices)
