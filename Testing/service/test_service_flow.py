"""The service as it ships: the command, the real worker and the real weights, by the client."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import SimpleITK as sitk
from service_support import WAIT, served_process, write_image

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import Progress
from MedSAMSegmentLib.service.client import ServiceClient

COMPUTE = ("--device", "cpu", "--engine", "torch")
"""Fixed, so that both processes compute alike."""


@pytest.fixture(scope="module")
def ball_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright ball in noise, five slices of 96 x 80."""
    z, y, x = np.ogrid[:5, :96, :80]
    ball = ((z - 2) / 3.5) ** 2 + ((y - 50) / 20) ** 2 + ((x - 40) / 18) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, ball.shape)
    array = (np.where(ball, 180, 40) + noise).astype(np.int16)
    return write_image(tmp_path_factory.mktemp("image") / "DOE^JANE.nrrd", array)


@pytest.mark.usefixtures("one_thread")
def test_a_session_ends_in_the_mask_of_the_command_line(
    lite_checkpoint: Path, ball_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    environment = {"TMPDIR": str(tmp_path / "of-the-server"), "MEDSAM_SERVICE_TOKEN": ""}
    (tmp_path / "of-the-server").mkdir()
    box = Box(i=(20, 60), j=(28, 72), k=(1, 3))
    with served_process(*COMPUTE, environment=environment) as (process, line):
        assert line.startswith("Serving on http://127.0.0.1:")
        address = urlsplit(line.removeprefix("Serving on "))
        token = parse_qs(address.query)["token"][0]
        progress: list[Progress] = []
        with ServiceClient(f"http://{address.netloc}", token) as service:
            assert {m["id"]: m["state"] for m in service.info()["models"]}["lite_medsam"] == "ready"
            with service.open(ball_file) as image:
                assert image.shape_zyx == (5, 96, 80)
                run = image.run([box], names=["ball"])
                run.wait(progress.append)
                preview = image.preview(box, index=2)
                kinds = [event.kind for event in run.events()]
                run.save(tmp_path / "mask.seg.nrrd")
                run.save(tmp_path / "mask.nii.gz")
                labels, report = run.labels(), run.report()
                image.save(tmp_path / "image.nii.gz")
                kept = list((tmp_path / "of-the-server").rglob("*"))
                assert any(path.name == "voxels.npy" for path in kept)
            left = [path for path in (tmp_path / "of-the-server").rglob("*") if path.is_file()]
            assert not left, "the image is deleted with its session"
        process.terminate()
        out, errors = process.communicate(timeout=WAIT)
    assert not list((tmp_path / "of-the-server").iterdir())
    assert "DOE" not in out + errors
    assert token not in out + errors
    command = ["run", str(ball_file), "--name", "ball", *COMPUTE, "--offline", "-q"]
    assert main([*command, "--box", "20", "28", "1", "60", "72", "3", "-o", str(tmp_path / "cli.seg.nrrd")]) == 0
    here = read_segmentation(tmp_path / "cli.seg.nrrd")
    there = read_segmentation(tmp_path / "mask.seg.nrrd")
    assert [segment.name for segment in there.segments] == ["ball"]
    mask = here.segments[0].mask_zyx
    assert mask.sum() > 500
    np.testing.assert_array_equal(there.segments[0].mask_zyx, mask)
    assert there.geometry.agrees_with(here.geometry)
    np.testing.assert_array_equal(labels, mask)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz"))), mask)
    overlap = 2 * (preview.mask & mask[2]).sum() / (preview.mask.sum() + mask[2].sum())
    assert overlap > 0.9
    assert kinds[-1] == "done"
    assert set(kinds[:-1]) == {"progress"}
    assert progress[-1].done == progress[-1].total > 0
    assert report["objects"][0]["voxels"] == int(mask.sum())
    assert report["model"]["weights_sha256"].startswith("79d8c9dc")
    assert "DOE" not in str(report)
    original, fetched = (sitk.ReadImage(str(path)) for path in (ball_file, tmp_path / "image.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(fetched), sitk.GetArrayFromImage(original))
    np.testing.assert_allclose(fetched.GetOrigin(), original.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(fetched.GetDirection(), original.GetDirection(), atol=1e-5)
