"""Write `golden/tracker_*.npz`: results of our own trackers, pinned when they agreed with the official code.

    python Testing/parity/make_sam2_small_golden.py

They let a machine without the large reference files notice a changed number. The full networks run at 256 pixels with
deterministic weights on a drawn volume of five slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from deterministic_weights import deterministic_state_dict
from frame_encoder import FrameEncoder
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.frame_features import FrameFeatures
from MedSAMSegmentLib.inference.memory_tracker import MemoryTracker, ObjectOnFrame
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.models.sam2 import Sam2

FOLDER = Path(__file__).parent / "golden"
NAMES = ("sam2_hiera_t", "efficienttam_ti", "efficienttam_s")
SHAPE = (5, 72, 96)
BOX = (26, 18, 58, 48)
SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"


def drawn_volume() -> NDArray[np.uint8]:
    """An ellipse that moves and shrinks on a textured ramp, in whole numbers only."""
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    volume = 40 + x // 4 + (x * 7 + y * 13 + z * 5) % 11
    volume[(x - 40 - 2 * z) ** 2 * 4 + (y - 32) ** 2 * 5 < 1100 - 90 * z] += 110
    return volume.astype(np.uint8)


def model_of(name: str) -> Sam2:
    model = build(name, image_size=256)
    assert isinstance(model, Sam2)
    weights = dict(deterministic_state_dict(model))
    # The object stays present on every slice.
    weights[SCORE_BIAS] = torch.full((1,), 3.0)
    model.load_state_dict(weights, strict=True)
    return model


def answers(name: str) -> dict[str, ObjectOnFrame]:
    model = model_of(name)
    encoder = FrameEncoder(model)
    return tracked(model, [encoder.encode_frame(frame) for frame in drawn_volume()])


def tracked(
    model: Sam2, features: Sequence[FrameFeatures], dtype: torch.dtype = torch.float32
) -> dict[str, ObjectOnFrame]:
    """A box on slice 2, both directions, and a click on slice 3 afterwards."""
    tracker = MemoryTracker(model, features.__getitem__, len(features), features[0].shape, dtype=dtype)
    found = {"box": tracker.add_points("a", 2, box_xyxy=BOX)}
    for direction in (1, -1):
        found |= {f"slice{t.index}": t.objects["a"] for t in tracker.propagate(direction)}
    found["click"] = tracker.add_points("a", 3, [[44.0, 30.0]], [0])
    return found


def packed(found: dict[str, ObjectOnFrame]) -> dict[str, NDArray]:
    """Every 7th logit, the scores and the mask's bits of each answer."""
    arrays: dict[str, NDArray] = {}
    for key, answer in found.items():
        arrays[f"{key}_logits"] = answer.low_res_logits.reshape(-1)[::7]
        arrays[f"{key}_scores"] = np.array([answer.iou, answer.object_score])
        arrays[f"{key}_bits"] = np.packbits(answer.mask)
    return arrays


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        path = FOLDER / f"tracker_{name}.npz"
        np.savez_compressed(path, **packed(answers(name)))
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
