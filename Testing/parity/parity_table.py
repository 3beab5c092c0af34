"""Measure how far the networks are from the official code.

python Testing/parity/parity_table.py [--json FILE] [MODEL ...]

MODEL is `sam` (LiteMedSAM and MedSAM) or a family of `sam2_golden`; by default all. `--json` writes the figures, of
which `Resources/docs/make_tables.py parity=FILE` makes the tables of parity.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sam2_golden as golden
from sam_golden import REFERENCE, load_golden, make_predictor, sample, synthetic_state_dict, unpack

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.checkpoints.weights import load_state_dict
from MedSAMSegmentLib.inference.slice_predictor import SlicePrompts

SAM = "sam"
SAM_CASES = (
    ("LiteMedSAM, CT slice", "real", "lite_real_ct", "lite_medsam", ""),
    ("LiteMedSAM, colour image", "deterministic", "lite_synth_rgb", "lite_medsam", "lite_medsam"),
    ("MedSAM (ViT-B), colour image", "deterministic", "medsam_synth_rgb", "medsam", "medsam_vit_b"),
)
"""Title, weights, golden file, model and, for deterministic weights, their state dict."""


def sam_row(title: str, weights: str, file: str, model: str, state_dict: str) -> dict[str, Any]:
    """Return the differences of one golden image: over all its boxes, and the pixels of all its masks."""
    expected = load_golden(file)
    real = state_dict == ""
    loaded = load_state_dict(CheckpointStore().path(registry.get(model))) if real else synthetic_state_dict(state_dict)
    predictor = make_predictor(model, loaded)
    embedding = predictor.encode(expected["image"])
    shape = expected["image"].shape[:2]
    found = [predictor.predict(embedding, SlicePrompts(box_xyxy=tuple(box))) for box in expected["boxes"]]
    logits = np.abs(np.stack([np.asarray(p.low_res_logits) for p in found]) - expected["box_lowres"])
    scores = np.abs(np.array([float(p.score) for p in found]) - expected["box_iou"].reshape(-1))
    pixels = sum(
        int((p.mask != unpack(bits, shape)).sum()) for p, bits in zip(found, expected["masks_bits"], strict=True)
    )
    features = np.abs(sample(embedding.features[0]) - expected["embedding_sample"])
    numbers = (features.max(), logits.max(), logits.mean(), scores.max())
    return {"case": title, "weights": weights, "numbers": [float(n) for n in numbers], "pixels": pixels}


def sam2_row(name: str, case: str) -> dict[str, Any]:
    """Return the differences of one golden case, over all its slices, passes and objects."""
    comparison = golden.compare(*golden.run_case(name, case))
    numbers = (
        *comparison.worst("_lowres"),
        comparison.worst("_ptr")[0],
        comparison.worst("_iou", "_iou3", "_score")[0],
        comparison.worst("_memfeat_sample")[1],
    )
    return {
        "model": name,
        "case": case,
        "numbers": [float(n) for n in numbers],
        "pixels": comparison.pixels,
        "problems": comparison.problems,
    }


def noise_of_the_official_code() -> dict[str, Any]:
    """Return the largest differences of the official code from itself, as the reference states them: of the logits on
    single slices of LiteMedSAM and MedSAM, and of the mask pixels in one pass of the models with a memory."""
    files = json.loads((REFERENCE / "noise.json").read_text(encoding="utf-8"))["files"]
    sam = {name: arrays for name, arrays in files.items() if name.startswith(("lite_", "medsam_"))}
    logits = [a["max"] for arrays in sam.values() for name, a in arrays.items() if "max" in a and "iou" not in name]
    pixels = [a.get("pixels", 0) for name, arrays in files.items() if name not in sam for a in arrays.values()]
    return {"logits": max(logits), "pixels": max(pixels)}


def line(row: dict[str, Any]) -> str:
    """Return a row in words, for the one who waits."""
    name = " ".join(str(row[key]) for key in ("model", "case", "weights") if key in row)
    numbers = " ".join(f"{value:.1e}" for value in row["numbers"])
    return f"{name}: {numbers}, {row['pixels']} pixels{''.join(f'; {p}' for p in row.get('problems', ()))}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    models = options.models or [SAM, *golden.FAMILIES]
    found: dict[str, Any] = {"sam": [], "sam2": [], "noise": noise_of_the_official_code()}
    for name in models:
        made = (
            ((sam_row, case) for case in SAM_CASES)
            if name == SAM
            else ((sam2_row, (name, c)) for c in golden.cases(name))
        )
        for measure, case in made:
            row = measure(*case)
            found["sam" if name == SAM else "sam2"].append(row)
            print(line(row), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
