"""DICOM in, DICOM out: a series is sent, and SEG and RTSTRUCT that refer to it come back."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from dicom_support import an_enhanced, masks_of_rtstruct, masks_of_seg, save
from pydicom.dataset import Dataset
from service_support import TOKEN, WAIT, RunningServer, a_block, served_process, write_ct

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.errors import OutputError, UsageError
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.service.client import RemoteImage, RemoteRun, ServiceClient, ServiceError

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
AROUND = Box(i=(5, 15), j=(3, 11), k=(2, 9))
LEFT_HALF = Box(i=(5, 9), j=(3, 11), k=(2, 9))
OUTSIDE = Box(i=(17, 22), j=(13, 18), k=(2, 9))
KINDS = {"dcm": "seg", "rtstruct": "rtstruct"}

NAMES = {"SOPInstanceUID", "SeriesInstanceUID", "DimensionOrganizationUID", "TrackingUID"}
TIMES = {
    *("ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"),
    *("StructureSetDate", "StructureSetTime", "ContributionDateTime"),
}


def content(data: Dataset, *, inner: bool = False) -> dict:
    """A file's content without what differs between two files of the same masks: their own names, and when they were
    written. Inside of sequences the names are those of the images."""
    own = TIMES | (NAMES - {"SOPInstanceUID", "SeriesInstanceUID"} if inner else NAMES)
    return {
        element.tag: [content(item, inner=True) for item in element.value] if element.VR == "SQ" else element.value
        for element in data
        if element.keyword not in own
    }


def a_done_run(client: ServiceClient, path: Path, **options: object) -> RemoteRun:
    run = client.open(path).run([AROUND, LEFT_HALF], names=["whole", "half"], **options)
    run.wait()
    return run


def result_of(server: RunningServer, run: RemoteRun, kind: str) -> requests.Response:
    return requests.get(f"{server.address}{run.path}/result?format={kind}", headers=AUTHORIZED, timeout=WAIT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", ["folder", "zip", "zip of two series"])
def test_a_series_goes_in_and_a_dicom_file_comes_out(
    server: RunningServer, ct: Path, tmp_path: Path, kind: str, packed: str
) -> None:
    if kind == "dcm":
        pytest.importorskip("highdicom")
    sent, options = ct, {}
    if packed != "folder":
        if "two" in packed:
            write_ct(ct / "other", np.zeros((20, 9, 9)), SeriesInstanceUID="1.2.3.5", SeriesNumber=9)
            options = {"series": "1.2.3.4"}
        sent = tmp_path / "DOE^JANE.zip"
        with zipfile.ZipFile(sent, "w") as archive:
            for file in ct.rglob("*.dcm"):
                archive.write(file, file.relative_to(ct).as_posix())
    with server.client() as client, client.open(sent, **options) as image:
        run = image.run([AROUND, LEFT_HALF], names=["whole", "half"])
        run.wait()
        run.save(tmp_path / "mask.seg.nrrd")
        run.save(tmp_path / "mask.dcm", dicom_type=KINDS[kind])
        kept = sorted(path.name for path in (server.service.sessions.folder / image.id / "sources").iterdir())
        assert kept == [f"{number:06d}.dcm" for number in range(12)]
        assert "DOE" not in str([*server.service.sessions.folder.rglob("*")])
    assert not list(server.service.sessions.folder.iterdir())
    expected = {segment.name: segment.mask_zyx for segment in read_segmentation(tmp_path / "mask.seg.nrrd").segments}
    assert 0 < expected["half"].sum() < expected["whole"].sum()
    data = pydicom.dcmread(tmp_path / "mask.dcm")
    volume = read_volume(ct, series="1.2.3.4")
    masks = (masks_of_seg if kind == "dcm" else masks_of_rtstruct)(data, volume)
    assert list(masks) == ["whole", "half"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)
    assert (str(data.PatientName), data.PatientID, data.StudyInstanceUID) == ("Doe^Jane", "77", "1.2.3")
    assert data.Modality == KINDS[kind].upper()
    assert "lite_medsam" in str(data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_says_that_it_is_dicom(server: RunningServer, ct: Path, kind: str) -> None:
    if kind == "dcm":
        pytest.importorskip("highdicom")
    with server.client() as client:
        run = a_done_run(client, ct)
        answers = [result_of(server, run, kind) for _ in range(2)]
    suffix = "rtstruct.dcm" if kind == "rtstruct" else "dcm"
    for answer in answers:
        assert answer.headers["content-type"] == "application/dicom"
        assert f'filename="segmentation.{suffix}"' in answer.headers["content-disposition"]
    assert answers[0].content == answers[1].content
    assert answers[0].content[128:132] == b"DICM"


def test_one_file_of_many_frames_is_kept_whole(server: RunningServer, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    tags: dict[str, object] = {"FrameOfReferenceUID": "1.2.9", "PixelRepresentation": 1, "KVP": "120"}
    tags |= {"PositionReferenceIndicator": "", "Manufacturer": "Maker", "AcquisitionNumber": "1", "SeriesNumber": 4}
    image = an_enhanced(a_block(), [[0, 0, 3.0 * k] for k in range(12)], **tags)
    path = save(image, tmp_path / "DOE^JANE.dcm")
    with server.client() as client:
        run = a_done_run(client, path)
        run.save(tmp_path / "mask.dcm")
        labels = run.labels()
    masks = masks_of_seg(pydicom.dcmread(tmp_path / "mask.dcm"), read_volume(path))
    np.testing.assert_array_equal(masks["whole"], labels > 0)
    np.testing.assert_array_equal(masks["half"], labels == 2)


def test_an_image_that_was_no_dicom_has_no_dicom_result(server: RunningServer, block_file: Path) -> None:
    with server.client() as client:
        run = a_done_run(client, block_file)
        for kind in KINDS:
            answer = result_of(server, run, kind)
            assert answer.headers["content-type"] == "application/problem+json"
            assert (answer.status_code, answer.json()["code"]) == (415, "result-kind")
            assert "sent as DICOM" in answer.json()["message"]
            assert "seg.nrrd" in answer.json()["cure"]
        with pytest.raises(ServiceError, match="sent as DICOM"):
            run.save(block_file.parent / "mask.dcm")
    assert not (block_file.parent / "mask.dcm").exists()


def test_slices_that_no_image_holds_are_said(server: RunningServer, tmp_path: Path) -> None:
    gap = write_ct(tmp_path / "gap", a_block()[:11], [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11])
    with server.client() as client:
        run = a_done_run(client, gap)
        answer = result_of(server, run, "rtstruct")
        assert (answer.status_code, answer.json()["code"]) == (422, "output")
        assert "filled or resampled (k 6)" in answer.json()["message"]
        with pytest.raises(OutputError, match="filled or resampled"):
            run.save(tmp_path / "mask.dcm", dicom_type="rtstruct")
        run.save(tmp_path / "mask.seg.nrrd")


def test_masks_that_are_all_empty_are_no_dicom_file(server: RunningServer, ct: Path, tmp_path: Path) -> None:
    with server.client() as client, client.open(ct) as image:
        some, none = image.run([OUTSIDE, AROUND], names=["none", "block"]), image.run([OUTSIDE])
        for run in (some, none):
            run.wait()
        some.save(tmp_path / "some.dcm", dicom_type="rtstruct")
        with pytest.raises(OutputError, match="every segment is empty"):
            none.save(tmp_path / "none.dcm", dicom_type="rtstruct")
    roi = pydicom.dcmread(tmp_path / "some.dcm").StructureSetROISequence
    assert [item.ROIName for item in roi] == ["block"]
    assert not (tmp_path / "none.dcm").exists()


def test_without_its_writer_a_segmentation_is_not_made(
    server: RunningServer, ct: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with server.client() as client:
        run = a_done_run(client, ct)
        answer = result_of(server, run, "dcm")
        assert (answer.status_code, answer.json()["code"]) == (415, "result-kind")
        assert "highdicom" in answer.json()["cure"]
        assert result_of(server, run, "rtstruct").ok


@pytest.mark.parametrize(("name", "kind"), [("a.nrrd", "seg"), ("a.dcm", "nrrd"), ("a.seg.nrrd", "rtstruct")])
def test_a_type_that_the_path_does_not_have_is_refused_by_the_client(
    image: RemoteImage, tmp_path: Path, name: str, kind: str
) -> None:
    run = image.run([AROUND])
    with pytest.raises(UsageError, match="cannot be a DICOM file"):
        run.save(tmp_path / name, dicom_type=kind)
    assert not (tmp_path / name).exists()


@pytest.mark.usefixtures("one_thread")
def test_the_files_are_those_of_the_command_line(
    lite_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom")
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    noise = np.random.default_rng(0).normal(0, 8, (2, 64, 72))
    z, y, x = np.ogrid[:2, :64, :72]
    ball = ((z - 0.5) / 2) ** 2 + ((y - 30) / 16) ** 2 + ((x - 40) / 18) ** 2 < 1
    folder = write_ct(tmp_path / "ct", np.where(ball, 90, -60) + noise)
    compute = ("--device", "cpu", "--engine", "torch")
    codes = "SCT:10200004:Liver"
    token = {"MEDSAM_SERVICE_TOKEN": TOKEN}
    with served_process(*compute, environment=token) as (_, line):
        address = line.removeprefix("Serving on ").partition("/api/")[0]
        with ServiceClient(address, TOKEN) as client, client.open(folder) as image:
            prompts = [{"type": "box", "lower": [20, 12, 0], "upper": [60, 48, 1]}]
            body = {"objects": [{"name": "ball", "prompts": prompts, "terminology": codes}]}
            run = RemoteRun(client, client.request("POST", f"{image.path}/runs", json=body).json())
            run.wait()
            for kind in KINDS.values():
                run.save(tmp_path / f"service-{kind}.dcm", dicom_type=kind)
    for kind, read in (("seg", masks_of_seg), ("rtstruct", masks_of_rtstruct)):
        command = ["run", str(folder), "--name", "ball", *compute, "--offline", "-q"]
        command += ["--box", "20", "12", "0", "60", "48", "1", "--terminology", codes, "--dicom-type", kind]
        assert main([*command, "-o", str(tmp_path / f"cli-{kind}.dcm")]) == 0
        there, here = (pydicom.dcmread(tmp_path / f"{origin}-{kind}.dcm") for origin in ("service", "cli"))
        assert content(there) == content(here)
        assert there.SOPInstanceUID != here.SOPInstanceUID
        (mask,) = read(there, read_volume(folder)).values()
        assert mask.sum() > 500
