"""Lungs from a box on one slice, in each third and each plane: python Testing/bench/lungs.py [--json FILE]

The sample chest CT that `slicerio` brings, in the window that the box chooses ("auto"). The slice is that in the middle
of a third. The box is the reference's own outline there; where the heart or a fissure leaves several parts, that of the
largest, which is judged alone: a box around all of them would mean what lies between. Printed are the window, the Dice
of that slice, and that of the other reading where there is one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAMSegmentLib.auto_window import window_of_prompts
from MedSAMSegmentLib.commands.demo import load_chest
from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import FLAG_TWO_READINGS

LUNGS = ("right lung", "left lung")
PLANES = ("axial", "coronal", "sagittal")
THIRDS = (1 / 6, 1 / 2, 5 / 6)


@dataclass(frozen=True)
class Row:
    lung: str
    plane: str
    slice: int
    window: str
    dice: float
    other_reading: float | None


def slices_of(mask_zyx: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield axis and index of the slice in the middle of each third of a mask, across each axis."""
    for axis in range(3):
        filled = np.flatnonzero(mask_zyx.any(axis=tuple(a for a in range(3) if a != axis)))
        for third in THIRDS:
            yield axis, int(filled[int(third * len(filled))])


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of a mask (h,w)."""
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return np.asarray(parts == np.bincount(parts[mask]).argmax())


def measure() -> Iterator[Row]:
    volume, masks = load_chest()
    predictor = load_predictor("lite_medsam", device="cpu", precision="float32")
    for lung in LUNGS:
        for axis, index in slices_of(masks[lung]):
            at = tuple(index if a == axis else slice(None) for a in range(3))
            part = largest_part(masks[lung][at])
            only = np.zeros_like(masks[lung])
            only[at] = part
            box = Box.around(only)
            window = window_of_prompts(volume.array_zyx, volume.modality, [box])
            with open_session(
                predictor, volume.array_zyx, geometry=volume.geometry, window=window, modality=volume.modality
            ) as session:
                found = session.segment_slice(axis, index, box)
                other = None
                if FLAG_TWO_READINGS in found.flags:
                    other = dice(session.segment_slice(axis, index, box, reading=2).mask, part)
            yield Row(lung, PLANES[axis], index, window, dice(found.mask, part), other)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    options = parser.parse_args()
    rows = []
    print("| lung | plane | slice | window | Dice | other reading |\n|---|---|---|---|---|---|")
    for row in measure():
        rows.append(asdict(row))
        other = "" if row.other_reading is None else f"{row.other_reading:.3f}"
        print(f"| {row.lung} | {row.plane} | {row.slice} | {row.window} | {row.dice:.3f} | {other} |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
