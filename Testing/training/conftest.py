"""Stores of made-up slices, and a patient's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from training_support import CELLS, CHANNELS, SIDE, small_sam, views

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.write_segmentation import segments_from, write_segmentation
from MedSAMSegmentLib.training.store import ViewStore, fill_store


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., ViewStore]:
    """Encode made-up slices with the small network's own encoder; with "lora" the inputs are kept."""

    def make(name: str = "store", *, encoder: str = "frozen", count: int = 6, patient: str = "a") -> ViewStore:
        sam = small_sam()

        def encode(image: np.ndarray) -> np.ndarray:
            shown = np.repeat(image[None].astype(np.float32) / 255, 3, axis=0)
            if encoder == "lora":
                return shown
            with torch.inference_mode():
                return np.asarray(sam.encode(torch.from_numpy(shown)[None])[0][0].numpy())

        shape = (3, SIDE, SIDE) if encoder == "lora" else (CHANNELS, CELLS, CELLS)
        made = views(count, patient)
        return fill_store(
            tmp_path / name, "key", made, len(made), encode=encode, place=lambda m: m, feature_shape=shape, side=SIDE
        )

    return make


@pytest.fixture
def write_patient() -> Callable[[Path, str], Path]:
    """Write a small CT with a bright ball and its segment, `NAME.nrrd` and `NAME.seg.nrrd`; return the image."""

    def write(folder: Path, name: str, *, label: str = "Ball", shift: int = 0) -> Path:
        import SimpleITK as sitk

        k, j, i = np.mgrid[:6, :80, :72]
        ball = (k - 3) ** 2 * 9 + (j - 20 - shift) ** 2 + (i - 18) ** 2 <= 90
        noise = np.random.default_rng(len(name)).integers(-20, 20, ball.shape)
        array = np.where(ball, 300, -800 + j * 5).astype(np.int16) + noise.astype(np.int16)
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.0, 1.0, 3.0))
        path = folder / f"{name}.nrrd"
        sitk.WriteImage(image, str(path))
        grid = VolumeGeometry.from_spacing(ball.shape, (3.0, 1.0, 1.0))
        write_segmentation(folder / f"{name}.seg.nrrd", segments_from([label, "Rest"], [ball, ~ball & (j < 8)]), grid)
        return path

    return write
