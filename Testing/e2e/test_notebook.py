"""The notebook of `Resources/notebooks` runs from top to bottom, and its lung is a lung."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "Resources" / "notebooks" / "from_a_box_to_a_segment.ipynb"


def test_the_notebook_runs_and_its_dice_is_good(lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    scores = next(cell for cell in notebook.cells if "dice(" in cell.source).outputs[-1]["data"]["text/plain"]
    assert float(scores.strip("()").split(",")[0]) > 0.7
    assert all(not cell.get("outputs") for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
