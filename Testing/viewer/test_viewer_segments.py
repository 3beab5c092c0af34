"""The real weights behind the page: two actions, and the mask of the command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
from browser import Browser
from service_support import served_process
from viewer_support import Viewer

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.service.client import ServiceClient

CHEST = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
LONG = 600.0


@pytest.fixture
def some_of_the_chest(tmp_path: Path) -> Path:
    """Three slices of the chest CT: each takes a while."""
    whole = sitk.ReadImage(str(CHEST))
    sitk.WriteImage(whole[:, :, 18:21], str(tmp_path / "chest.nrrd"))
    return tmp_path / "chest.nrrd"


@pytest.mark.usefixtures("one_thread")
def test_two_actions_give_the_mask_of_the_command_line(
    browser: Browser, lite_checkpoint: Path, some_of_the_chest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    arguments = (str(some_of_the_chest), "--no-browser", "--offline", "--engine", "torch")
    running = served_process(*arguments, environment={}, command="view")
    with running as (_, line), browser.page() as page:
        assert line.startswith("Viewer at http://127.0.0.1:")
        address = line.removeprefix("Viewer at ")
        token = address.partition("token=")[2].partition("&")[0]
        with ServiceClient(address.partition("/viewer/")[0], token) as client:
            viewer = Viewer(page, address, client)
            viewer.open()
            # The right lung, on the left of the axial view.
            place = page.evaluate("viewer.views.rectOf('axial', [56, 38, 1], [104, 96, 1])")
            left, top = viewer.pane("axial")[:2]
            x, y = left + place["left"], top + place["top"]
            viewer.drag((x + 1, y + 1, x + place["width"] - 1, y + place["height"] - 1))
            page.until("viewer.history.now.items[0]?.preview", LONG)
            viewer.until_done(seconds=LONG)
            mask = viewer.mask()
            (prompt,) = viewer.item("prompts")
            assert viewer.foreign_requests() == []
            assert page.complaints == []
    assert prompt == {"type": "box", "lower": [56, 38, 1], "upper": [104, 96, 1]}

    output = tmp_path / "lung.seg.nrrd"
    box = [str(value) for value in (*prompt["lower"], *prompt["upper"])]
    command = ["run", str(some_of_the_chest), "--box", *box, "--stop", "-o", str(output)]
    assert main([*command, "--offline", "--engine", "torch", "--quiet"]) == 0
    (segment,) = read_segmentation(output).segments
    assert mask.any(axis=(1, 2)).all()
    assert np.array_equal(mask, segment.mask_zyx)


def test_the_page_is_what_its_sources_make(tmp_path: Path) -> None:
    sources = Path(__file__).parents[2] / "Resources" / "viewer"
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (sources / "node_modules" / "esbuild").is_dir():
        pytest.skip("the page's packages are not installed: npm ci --prefix Resources/viewer")
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=sources, check=True, timeout=LONG)
    page = sources.parents[1] / "MedSAMSegmentLib" / "service" / "viewer"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in page.iterdir()}
    for path in page.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
