"""What is refused to weights that are not the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from MedSAMSegmentLib.checkpoints.weights import load_state_dict
from MedSAMSegmentLib.inference.engines import choose
from MedSAMSegmentLib.inference.engines.base import EngineFiles
from MedSAMSegmentLib.inference.engines.benchmarks import BenchmarkStore, EngineBenchmark
from MedSAMSegmentLib.inference.open import load_predictor
from MedSAMSegmentLib.registry import get


@pytest.fixture
def own_weights(tmp_path: Path, lite_checkpoint: Path) -> Path:
    state = load_state_dict(lite_checkpoint)
    state["mask_decoder.iou_token.weight"] = state["mask_decoder.iou_token.weight"] + torch.tensor(0.01)
    save_file(state, tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


def test_bfloat16_is_not_chosen_unasked(
    own_weights: Path, lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    real = choose.choose_engine

    def listen(*arguments: Any, free_precision: bool, **more: Any) -> Any:
        asked.append(free_precision)
        return real(*arguments, free_precision=free_precision, **more)

    monkeypatch.setattr(choose, "choose_engine", listen)
    for weights in (lite_checkpoint, own_weights):
        load_predictor("lite_medsam", weights=weights, device="cpu", engine="torch")
    assert asked == [True, False]


def test_what_was_measured_for_other_weights_is_not_taken_over(tmp_path: Path) -> None:
    entry = get("lite_medsam")
    published, own = (EngineFiles(entry, digest, tmp_path) for digest in (entry.sha256 or "", "ab" * 32))
    BenchmarkStore(published).put("torch float32", EngineBenchmark(0.0, 1.0))
    assert BenchmarkStore(published).get("torch float32") is not None
    assert BenchmarkStore(own).get("torch float32") is None
