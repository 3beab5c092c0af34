"""The real LiteMedSAM, loaded once, and the public cases."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from MedSAMSegmentLib.inference.open import load_predictor
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
sys.path.insert(0, str(REPO / "Testing" / "bench"))


@pytest.fixture(scope="session")
def lite_predictor(lite_checkpoint: Path) -> SlicePredictor:
    return load_predictor("lite_medsam", weights=lite_checkpoint, device="cpu", precision="float32", engine="torch")


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "reference" / "golden").is_dir():
        pytest.skip("the reference files (../shared, or MEDSAM_SHARED) are not here")
    return SHARED
