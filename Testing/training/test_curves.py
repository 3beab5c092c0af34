"""The table and the picture of a training, and TensorBoard's absence."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.training.curves import BLUE, ORANGE, draw_curves, write_table
from MedSAMSegmentLib.training.state import CurveRow, TrainingState
from MedSAMSegmentLib.training.tensorboard import TensorBoardLog

CURVE = [
    CurveRow(step, 2 / step, 1 / step, 0.5, 0.1, 0.2, 1e-4, 0.5 if step % 5 == 0 else None) for step in range(1, 21)
]


def has_colour(path: Path, colour: tuple[int, int, int]) -> int:
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return int((pixels == colour).all(axis=1).sum())


def test_the_table_has_a_row_a_step(tmp_path: Path) -> None:
    write_table(tmp_path / "c.csv", CURVE)
    rows = list(csv.DictReader((tmp_path / "c.csv").open(encoding="utf-8")))
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert [row["validation_dice"] for row in rows[3:6]] == ["", "0.5", ""]
    assert float(rows[1]["loss"]) == 1.0


def test_the_picture_shows_both_curves(tmp_path: Path) -> None:
    draw_curves(tmp_path / "both.png", CURVE, "läsion")
    loss_only = [CurveRow(row.step, row.loss, 1.0, 1.0, 1.0, 1.0, 1e-4) for row in CURVE]
    draw_curves(tmp_path / "loss.png", loss_only, "x")
    assert has_colour(tmp_path / "both.png", BLUE) > 500
    assert has_colour(tmp_path / "both.png", ORANGE) > has_colour(tmp_path / "loss.png", ORANGE) + 300


def test_no_steps_are_a_picture_too(tmp_path: Path) -> None:
    draw_curves(tmp_path / "none.png", [], "x")
    assert Image.open(tmp_path / "none.png").size == (900, 420)


def test_tensorboard_is_written_where_it_is_there_and_else_said(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(UsageError, match="extra 'tensorboard'"):
            TensorBoardLog(tmp_path)
        return
    log = TensorBoardLog(tmp_path)
    log(TrainingState(20, {}, CURVE))
    log.close()
    assert any(path.stat().st_size > 100 for path in tmp_path.iterdir())
