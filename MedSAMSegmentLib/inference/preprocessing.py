"""From an 8-bit slice to a network's input, and from its answer back, one class a protocol.

A slice's pixel centre is a whole number in every coordinate here. Where the official code fixes how a coordinate is
scaled, that is done (`BOX` and `POINT` notes at each class); else it is the place on the resized grid, half a
pixel taken into account: `(x + 0.5) * new / old - 0.5`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .resize import (
    resize_area_uint8,
    resize_bicubic_uint8,
    resize_bilinear_uint8,
    resize_nearest,
    resize_spline_uint8,
)
from .slice_prompts import BoxXYXY, SlicePrompts

if TYPE_CHECKING:
    from ..registry import ModelEntry

U8 = NDArray[np.uint8]
Points = NDArray[np.float64]


class SliceTransform(ABC):
    """One protocol for slices of one shape. `size` is the side of the square network input in pixels.

    `resized_shape` (rows, columns) is what the slice becomes inside it, in the top left corner.
    """

    pixel_centred: ClassVar[bool] = True
    """Whether points keep their place on the resized grid; else they are only multiplied."""

    def __init__(self, shape: tuple[int, int], size: int) -> None:
        self.shape = shape
        self.size = size
        self.resized_shape = self._resized_shape()

    def _resized_shape(self) -> tuple[int, int]:
        return (self.size, self.size)

    @abstractmethod
    def resize(self, image: U8) -> U8:
        """Return the slice at `resized_shape`."""

    @abstractmethod
    def normalise(self, resized: U8) -> NDArray[np.float32]:
        """Normalise (h,w[,3]) uint8 to the same shape (or with 3 channels) as the network takes it."""

    @abstractmethod
    def upsample(self, low_res_logits: Tensor) -> Tensor:
        """Convert low-res logits (B,h,w) to (B,H,W) float: logits, or probabilities where the protocol interpolates
        those."""

    def network_input(self, image: U8) -> NDArray[np.float32]:
        """Convert a slice (H,W) or (H,W,3), uint8, to (3,size,size) float32, zero where it does not reach."""
        self._check(image)
        normalised = self.normalise(self.resize(image))
        network_input = np.zeros((3, self.size, self.size), dtype=np.float32)
        rows, columns = normalised.shape[:2]
        network_input[:, :rows, :columns] = normalised if normalised.ndim == 2 else normalised.transpose(2, 0, 1)
        return network_input

    def points_to_network(self, points_xy: Points) -> Points:
        """Convert (n,2) x, y of the slice to network pixels; continuous, nothing is rounded."""
        shift = 0.5 if self.pixel_centred else 0.0
        return (np.asarray(points_xy, dtype=np.float64) + shift) * self._scale_xy() - shift

    def box_to_network(self, box_xyxy: BoxXYXY) -> BoxXYXY:
        """Convert a box of the slice, inclusive maxima, to network pixels, each number just multiplied."""
        return _box(np.asarray(box_xyxy, dtype=np.float64) * np.tile(self._scale_xy(), 2))

    def mask_to_image(self, low_res_logits: Tensor) -> Tensor:
        """Convert low-res logits (B,h,w) to masks (B,H,W) bool."""
        return self.upsample(low_res_logits) > 0

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        """Resample a mask (H,W) of the slice to a low-res `plane` (h,w), by nearest neighbour; False where the slice
        ends."""
        low_res = np.zeros(plane, dtype=bool)
        covered = [max(1, round(side * n / self.size)) for side, n in zip(self.resized_shape, plane, strict=True)]
        rows, columns = (
            ((np.arange(count) + 0.5) * size / count).astype(int)
            for count, size in zip(covered, self.shape, strict=True)
        )
        low_res[: covered[0], : covered[1]] = mask[np.ix_(rows, columns)]
        return low_res

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int = 1) -> SlicePrompts | None:
        """Return the neighbouring slice's box from a mask (H,W) of this one; None when it is empty.

        `label_value` is the object's number in the label image that the official script resizes.
        """
        box = _tight_box(mask)
        return SlicePrompts(box_xyxy=box) if box is not None else None

    def _scale_xy(self) -> NDArray[np.float64]:
        rows, columns = self.resized_shape
        return np.array([columns / self.shape[1], rows / self.shape[0]])

    def _check(self, image: U8) -> None:
        if image.dtype != np.uint8:
            raise InputError(f"The slice holds {image.dtype} numbers.", "Window it to 8 bits first.")
        if image.shape[:2] != self.shape or image.shape[2:] not in ((), (3,)):
            raise InputError(
                f"The slice has the shape {image.shape}, not {self.shape} with one or three channels.",
                "Give a grey or RGB slice.",
            )


class LongestSideTransform(SliceTransform):
    """The longer side becomes `size`, the rest is zero padding at the bottom and right."""

    def _resized_shape(self) -> tuple[int, int]:
        scale = self.size / max(self.shape)
        rows, columns = (max(1, int(side * scale + 0.5)) for side in self.shape)
        return (rows, columns)


class LiteMedSamTransform(LongestSideTransform):
    """LiteMedSAM (`CVPR24_LiteMedSAM_infer.py`): area resize, min-max of the slice before padding, logits resized.

    BOX: `int(v * size / longer side)`, truncated, as the official scripts do. POINT: on the resized grid.
    """

    handover_margin = 3

    def resize(self, image: U8) -> U8:
        return resize_area_uint8(image, *self.resized_shape)

    def normalise(self, resized: U8) -> NDArray[np.float32]:
        return _stretched(resized)

    def box_to_network(self, box_xyxy: BoxXYXY) -> BoxXYXY:
        longest = max(self.shape)
        return _box([int(value * self.size / longest) for value in box_xyxy])

    def upsample(self, low_res_logits: Tensor) -> Tensor:
        rows, columns = self.resized_shape
        return _bilinear(low_res_logits[:, :rows, :columns], self.shape)

    def mask_to_image(self, low_res_logits: Tensor) -> Tensor:
        # Through the sigmoid, as the official code: a logit below 1e-7 rounds to exactly one half and is outside.
        return self.upsample(low_res_logits).sigmoid() > 0.5

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int = 1) -> SlicePrompts | None:
        labels = mask.astype(np.uint8) * np.uint8(min(label_value, 255))
        box = _tight_box(resize_area_uint8(labels, *self.resized_shape))
        return _widened(box, self.handover_margin, self.size)


class MedSamTransform(SliceTransform):
    """MedSAM (`MedSAM_Inference.py`): both sides become `size` by splines, min-max, probabilities resized.

    BOX: `v / side * size`. POINT: on the resized grid.
    """

    handover_margin = 5

    def resize(self, image: U8) -> U8:
        return resize_spline_uint8(image, self.size, self.size)

    def normalise(self, resized: U8) -> NDArray[np.float32]:
        return _stretched(resized)

    def box_to_network(self, box_xyxy: BoxXYXY) -> BoxXYXY:
        sides = np.tile(self.shape[::-1], 2)
        return _box(np.asarray(box_xyxy, dtype=np.float64) / sides * self.size)

    def upsample(self, low_res_logits: Tensor) -> Tensor:
        return _bilinear(low_res_logits.sigmoid(), self.shape)

    def mask_to_image(self, low_res_logits: Tensor) -> Tensor:
        return self.upsample(low_res_logits) > 0.5

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int = 1) -> SlicePrompts | None:
        return _widened(_tight_box(resize_nearest(mask, self.size, self.size)), self.handover_margin, self.size)


class SamTransform(LongestSideTransform):
    """Stock SAM (`segment_anything/utils/transforms.py`): Pillow's bilinear resize, then fixed mean and deviation.

    BOX and POINT: `v * new side / old side`, as the official code.
    """

    pixel_centred = False
    mean: ClassVar = (123.675, 116.28, 103.53)
    deviation: ClassVar = (58.395, 57.12, 57.375)

    def resize(self, image: U8) -> U8:
        return resize_bilinear_uint8(image, *self.resized_shape)

    def normalise(self, resized: U8) -> NDArray[np.float32]:
        return _standardised(resized, self.mean, self.deviation, 1.0)

    def upsample(self, low_res_logits: Tensor) -> Tensor:
        rows, columns = self.resized_shape
        padded = _bilinear(low_res_logits, (self.size, self.size))
        return _bilinear(padded[:, :rows, :columns], self.shape)


class Sam2Transform(SliceTransform):
    """SAM 2, MedSAM2 and EfficientTAM on volumes: Pillow's bicubic resize of both sides, ImageNet mean and deviation.

    BOX and POINT: `v / side * size`, as the official code.
    """

    pixel_centred = False
    mean: ClassVar = (0.485, 0.456, 0.406)
    deviation: ClassVar = (0.229, 0.224, 0.225)

    def resize(self, image: U8) -> U8:
        return resize_bicubic_uint8(image, self.size, self.size)

    def normalise(self, resized: U8) -> NDArray[np.float32]:
        return _standardised(resized, self.mean, self.deviation, 255.0)

    def upsample(self, low_res_logits: Tensor) -> Tensor:
        return _bilinear(low_res_logits, self.shape)


def make_transform(entry: ModelEntry, shape: tuple[int, int]) -> SliceTransform:
    """Return the transform of a model for slices with `shape` rows and columns."""
    if entry.kind == "memory":
        return Sam2Transform(shape, entry.input_size)
    kinds: dict[str, type[SliceTransform]] = {"LiteMedSAM": LiteMedSamTransform, "MedSAM": MedSamTransform}
    return kinds.get(entry.family, SamTransform)(shape, entry.input_size)


def _stretched(image: U8) -> NDArray[np.float32]:
    """Stretch the minimum to 0 and maximum to 1, over all channels together; computed in float64 as the official code
    does."""
    lowest, highest = int(image.min()), int(image.max())
    levels = (np.arange(256) - lowest) / max(highest - lowest, 1e-8)
    return levels.astype(np.float32)[image]


def _standardised(image: U8, mean: Sequence[float], deviation: Sequence[float], top: float) -> NDArray[np.float32]:
    """Compute `(v / top - mean) / deviation` for each channel, constants rounded to float32; always three channels."""
    levels = np.arange(256)[:, None] / top
    centre, spread = (np.array(values, dtype=np.float32).astype(np.float64) for values in (mean, deviation))
    columns = ((levels - centre) / spread).astype(np.float32).T
    planes = [image] * 3 if image.ndim == 2 else [image[..., channel] for channel in range(3)]
    # Plane by plane, as the network takes them: to look up three numbers a pixel and turn them around takes longer.
    return np.stack([column[plane] for column, plane in zip(columns, planes, strict=True)]).transpose(1, 2, 0)


def _bilinear(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize (B,h,w) to (B,*shape), float32."""
    return F.interpolate(x[:, None].to(torch.float32), size=shape, mode="bilinear", align_corners=False)[:, 0]


def _tight_box(mask: NDArray) -> BoxXYXY | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return _box((columns[0], rows[0], columns[-1], rows[-1]))


def _widened(box: BoxXYXY | None, margin: int, size: int) -> SlicePrompts | None:
    """Return the box in network pixels with a margin; the official code lets it reach one past the last pixel."""
    if box is None:
        return None
    lower = [max(0, value - margin) for value in box[:2]]
    upper = [min(size, value + margin) for value in box[2:]]
    return SlicePrompts(network_box=_box([*lower, *upper]))


def _box(values: Sequence[float] | NDArray) -> BoxXYXY:
    x0, y0, x1, y1 = (float(value) for value in values)
    return (x0, y0, x1, y1)
