"""Pictures of the cases that the default answers worst: a slice, and on it what is true and what was answered."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_tables import worst_untouched
from judging_set import JudgingCase, read_case
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from MedSAMSegmentLib.intensity import to_uint8

MARGIN = 0.4
"""So much of the object's longer side is shown around it."""

SIDE = 480
CAPTION = 18
WIDTH = 560
"""Of the picture of all."""

ALL = "worst_untouched.png"
TRUE_COLOUR = (0, 220, 0)
ANSWER_COLOUR = (255, 60, 60)


def draw_worst(cases: Mapping[str, Mapping[str, Any]], judging_set: Path, folder: Path) -> Iterator[Path]:
    """Write a PNG of each of the worst untouched cases into `folder`, and one of all below each other, and yield their
    paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for name in worst_untouched(cases):
        path = folder / f"{name}.png"
        pages.append(draw(read_case(judging_set / f"{name}.npz"), cases[name]))
        pages[-1].save(path)
        yield path
    if pages:
        path = folder / ALL
        small = [page.resize((WIDTH, round(page.height * WIDTH / page.width))) for page in pages]
        Image.fromarray(np.vstack([np.asarray(page) for page in small])).save(path)
        yield path


def draw(case: JudgingCase, found: Mapping[str, Any]) -> Image.Image:
    """Return the middle slice twice, bare and with both outlines: the reference's green, the default's red."""
    index = int(found["middle"]["index"])
    answer, true = unpacked(found["middle"]["bits"], case.reference.shape[1:]), case.reference[index]
    shown = to_uint8(case.image, found["window"], modality=case.modality or None).volume_u8[index]
    part = surroundings(answer | true)
    times = max(1, round(SIDE / max(true[part].shape)))
    colour = enlarged(shown[part] if shown.ndim == 3 else np.repeat(shown[part][..., None], 3, 2), times)
    outlined = colour.copy()
    for mask, value in ((true, TRUE_COLOUR), (answer, ANSWER_COLOUR)):
        outlined[rim(enlarged(mask[part], times))] = value
    both = Image.fromarray(np.hstack([colour, outlined]))
    page = Image.new("RGB", (both.width, both.height + CAPTION))
    page.paste(both, (0, CAPTION))
    text = f"{case.name} ({case.kind}), slice {index}: Dice {found['runs']['default']['dice']:.3f}"
    ImageDraw.Draw(page).text((4, 3), f"{text}; green: reference, red: default")
    return page


def unpacked(bits: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask that `accuracy.packed_slice` wrote."""
    packed = np.frombuffer(zlib.decompress(base64.b64decode(bits)), np.uint8)
    return np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)


def surroundings(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns around a mask; all of them where it is empty."""
    if not mask.any():
        return slice(None), slice(None)
    places = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in range(2)]
    more = 4 + int(MARGIN * max(place[-1] - place[0] + 1 for place in places))
    rows, columns = (slice(max(0, int(place[0]) - more), int(place[-1]) + more + 1) for place in places)
    return rows, columns


def enlarged(image: NDArray, times: int) -> NDArray:
    return image.repeat(times, axis=0).repeat(times, axis=1)


def rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the outermost pixels of a mask."""
    return mask & ~binary_erosion(mask)
