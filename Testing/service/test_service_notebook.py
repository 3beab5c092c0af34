"""The notebook about the service runs from top to bottom against a server as it ships, and its lung is a lung."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from service_support import TOKEN, a_block, served_process, write_image

from MedSAMSegmentLib.prompts import Point
from MedSAMSegmentLib.service.client import ServiceClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "Resources" / "notebooks" / "over_http.ipynb"


def test_the_notebook_runs_against_a_server_and_its_dice_is_good(
    lite_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    environment = {"MEDSAM_MODEL_DIR": str(lite_checkpoint.parent), "MEDSAM_SERVICE_TOKEN": TOKEN}
    environment["TMPDIR"] = str(tmp_path)
    with served_process("--device", "cpu", "--engine", "torch", environment=environment) as (_, line):
        address = line.removeprefix("Serving on ").partition("/api/")[0]
        # A preview does not wait for ever for a model that is being loaded; a run does.
        with (
            ServiceClient(address, TOKEN) as service,
            service.open(write_image(tmp_path / "a.nrrd", a_block())) as image,
        ):
            image.run([Point(9, 6, 4)], slice_range=[4, 4]).wait()
        monkeypatch.setenv("MEDSAM_SERVICE_ADDRESS", address)
        monkeypatch.setenv("MEDSAM_SERVICE_TOKEN", TOKEN)
        NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
        (kept,) = tmp_path.glob("medsam-service-*")
        assert not list(kept.iterdir()), "the image is deleted at the notebook's end"
    shown = {cell.source: cell.outputs[-1]["data"]["text/plain"] for cell in notebook.cells if has_a_value(cell)}
    assert float(next(text for source, text in shown.items() if "dice(" in source)) > 0.7
    assert "['lung.nii.gz', 'lung.seg.nrrd']" in shown.values()


def has_a_value(cell: nbformat.NotebookNode) -> bool:
    return bool(cell.get("outputs")) and "data" in cell.outputs[-1]
