"""Write `golden/sam_*.npz`: answers of our own networks, pinned when they agreed with the official code.

    python Testing/parity/make_small_golden.py PATH_OF_lite_medsam.pth

They let a machine without the large reference files notice a changed number. The image is drawn, the weights are the
real LiteMedSAM's, or `deterministic_weights` for the rest.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from deterministic_weights import deterministic_state_dict
from numpy.typing import NDArray

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.weights import load_state_dict
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction, SlicePredictor, SlicePrompts
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.models.mask_decoder import MaskDecoder
from MedSAMSegmentLib.models.prompt_encoder import PromptEncoder
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.sam_vit import SamViT

FOLDER = Path(__file__).parent / "golden"
SHAPE = (180, 232)
BOX = (60.0, 48.0, 139.0, 117.0)
CLICKS = np.array([[100.0, 80.0], [20.0, 150.0]])
LABELS = np.array([1, 0])
CPU = DeviceChoice(torch.device("cpu"), torch.float32, "asked for")


def drawn_slice() -> NDArray[np.uint8]:
    """Two ellipses on a shallow ramp with a fixed texture, in whole numbers only."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = 40 + x // 8 + (x * 7 + y * 13) % 11
    image[(x - 100) ** 2 * 4 + (y - 82) ** 2 * 5 < 5200] += 110
    image[(x - 190) ** 2 + (y - 130) ** 2 * 2 < 900] += 70
    return image.astype(np.uint8)


def small_sam() -> SlicePredictor:
    """MedSAM's ViT, narrow and shallow, with windowed and global blocks; preprocessing as MedSAM at 256 pixels."""
    encoder = SamViT(dim=96, depth=4, heads=3, global_blocks=(1, 3), image_size=256)
    module = Sam(encoder, PromptEncoder(256, (16, 16), (256, 256)), MaskDecoder(256))
    return _predictor("medsam", module, {"input_size": 256})


def lite_medsam(checkpoint: Path | None) -> SlicePredictor:
    """LiteMedSAM with the real weights, or with deterministic ones."""
    return _predictor("lite_medsam", build("lite_medsam"), {}, checkpoint)


def _predictor(
    model_id: str, module: torch.nn.Module, changes: dict[str, object], checkpoint: Path | None = None
) -> SlicePredictor:
    weights = load_state_dict(checkpoint) if checkpoint else deterministic_state_dict(module)
    module.load_state_dict(weights, strict=True)
    return SlicePredictor(module, dataclasses.replace(registry.get(model_id), **changes), CPU)


def answers(predictor: SlicePredictor) -> dict[str, SlicePrediction]:
    """Box, clicks, both, the best of several for one click, and the box's answer as a prompt."""
    embedding = predictor.encode(drawn_slice())
    box = predictor.predict(embedding, SlicePrompts(box_xyxy=BOX))
    one = SlicePrompts(points_xy=CLICKS[:1], labels=LABELS[:1])
    return {
        "box": box,
        "clicks": predictor.predict(embedding, SlicePrompts(points_xy=CLICKS, labels=LABELS)),
        "both": predictor.predict(embedding, SlicePrompts(box_xyxy=BOX, points_xy=CLICKS, labels=LABELS)),
        "best": predictor.predict(embedding, one, multimask=True),
        "again": predictor.predict(
            embedding, SlicePrompts(points_xy=CLICKS, labels=LABELS, mask_logits=box.low_res_logits)
        ),
    }


def packed(found: dict[str, SlicePrediction]) -> dict[str, NDArray]:
    """Every 31st logit, the score and the mask's bits of each answer."""
    arrays: dict[str, NDArray] = {}
    for name, prediction in found.items():
        arrays[f"{name}_logits"] = prediction.low_res_logits.reshape(-1)[::31]
        arrays[f"{name}_score"] = np.float64(prediction.score)
        arrays[f"{name}_bits"] = np.packbits(prediction.mask)
    return arrays


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    predictors = {
        "sam_small": small_sam(),
        "sam_lite_deterministic": lite_medsam(None),
        "sam_lite_real": lite_medsam(Path(sys.argv[1])),
    }
    for name, predictor in predictors.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **packed(answers(predictor)))


if __name__ == "__main__":
    main()
