"""What the parity tests of the SAM family share: places, weights, samples, and a predictor around them."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.models.sam import Sam

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
REFERENCE = SHARED / "reference"
CPU = DeviceChoice(torch.device("cpu"), torch.float32, "asked for")


def need(path: Path) -> Path:
    """The path; a skip where the reference is not on this machine, a failure where a part of it is missing."""
    if not REFERENCE.is_dir():
        pytest.skip(f"{path.name} is not on this machine (set MEDSAM_SHARED)")
    assert path.exists(), f"the reference lacks {path.name}"
    return path


def load_golden(name: str) -> dict[str, NDArray]:
    with np.load(need(REFERENCE / "golden" / f"{name}.npz"), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def load_trace(name: str) -> list[dict]:
    return json.loads(need(REFERENCE / "golden" / f"{name}_trace.json").read_text())["calls"]


def synthetic_state_dict(name: str) -> dict[str, torch.Tensor]:
    """The reference's deterministic weights for the state dict `name`, checked against the stated hash."""
    description = json.loads(need(REFERENCE / "state_dicts" / f"{name}.json").read_text())
    make_weights = _module(need(REFERENCE / "make_weights.py"))
    arrays = make_weights.make_state_dict(description["keys"])
    assert make_weights.digest(arrays) == description["synthetic_sha256"]
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def make_predictor(model_id: str, state_dict: dict[str, torch.Tensor]) -> SlicePredictor:
    entry = registry.get(model_id)
    module = build(entry.builder, **entry.builder_options)
    module.load_state_dict(state_dict, strict=True)
    return SlicePredictor(module, entry, CPU)


def sam_of(predictor: SlicePredictor) -> Sam:
    assert isinstance(predictor.module, Sam)
    return predictor.module


def sample(array: object, count: int = 4096) -> NDArray:
    flat = np.asarray(array).reshape(-1)
    return flat[np.unique(np.linspace(0, flat.size - 1, count).astype(np.int64))]


def unpack(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    size = int(np.prod(shape))
    return np.unpackbits(bits)[:size].reshape(shape).astype(bool)


def assert_close(actual: object, expected: object, most: float, mean: float | None = None) -> None:
    """The largest and the mean absolute difference."""
    difference = np.abs(np.asarray(actual, dtype=np.float64) - np.asarray(expected, dtype=np.float64))
    assert difference.max() <= most, f"largest difference {difference.max():.3g}, at most {most:g} allowed"
    if mean is not None:
        assert difference.mean() <= mean, f"mean difference {difference.mean():.3g}, at most {mean:g} allowed"


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"reference_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
