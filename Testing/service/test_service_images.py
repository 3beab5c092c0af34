"""Images on the server: taken in within limits, read, and gone with their session."""

from __future__ import annotations

import asyncio
import io
import socket
import stat
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from service_support import TOKEN, WAIT, Clock, RunningServer, a_block, write_image

from MedSAMSegmentLib.errors import InputError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.nifti_image import write_nifti_image
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.service.client import RemoteImage, ServiceError
from MedSAMSegmentLib.service.problems import ServiceProblem
from MedSAMSegmentLib.service.settings import Limits
from MedSAMSegmentLib.service.uploads import receive

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: %s\nencoding: raw%s\n\n"
META = b"ObjectType = Image\nNDims = 3\nDimSize = 9 9 9\nElementType = MET_SHORT\nElementDataFile = ../../x\n"
StartServer = Callable[..., RunningServer]


def send(server: RunningServer, body: bytes, name: str, **query: object) -> requests.Response:
    return requests.post(
        f"{server.address}/api/v1/sessions",
        params={"name": name, **query},
        headers=AUTHORIZED,
        data=body,
        timeout=WAIT,
    )


def a_zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def nothing_is_kept(server: RunningServer) -> bool:
    """Whether no image is on the server; what is being deleted has a moment for it."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        if not len(server.service.sessions) and not list(server.service.sessions.folder.iterdir()):
            return True
        time.sleep(0.02)
    return False


def test_a_session_tells_what_the_image_is(server: RunningServer, image: RemoteImage, block_file: Path) -> None:
    facts = requests.get(server.address + image.path, headers=AUTHORIZED, timeout=WAIT).json()
    original = sitk.ReadImage(str(block_file))
    assert facts["shape_zyx"] == [12, 20, 24]
    assert facts["kind"] == "nrrd"
    np.testing.assert_allclose(facts["spacing_zyx"], [4.0, 0.9, 0.8])
    affine = np.array(facts["ijk_to_lps"])
    np.testing.assert_allclose(affine[:3, 3], original.GetOrigin())
    corner = original.TransformIndexToPhysicalPoint((23, 19, 11))
    np.testing.assert_allclose(affine @ [23, 19, 11, 1], [*corner, 1])
    assert facts["window"].startswith("auto: MR")
    assert facts["runs"] == []
    assert server.service.sessions.folder.stat().st_mode & 0o077 == 0
    names = {path.name for path in (server.service.sessions.folder / image.id).iterdir()}
    assert names == {"voxels.npy"}


@pytest.mark.parametrize(
    "name",
    [
        "../../../tmp/evil.nrrd",
        "/etc/evil.nrrd",
        "..\\..\\evil.nrrd",
        "C:\\DOE^JANE.nrrd",
        "DOE^JANE 1950-01-01.nrrd",
        "a\nb.nrrd",
        "x" * 190 + ".nrrd",
        "Größe.NRRD",
    ],
)
def test_of_a_name_only_the_suffix_is_used(server: RunningServer, block_file: Path, name: str) -> None:
    answer = send(server, block_file.read_bytes(), name)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/sessions/{answer.json()['id']}"
    everything = [path.name for path in server.service.sessions.folder.rglob("*")]
    assert sorted(everything) == sorted([answer.json()["id"], "voxels.npy"])


@pytest.mark.parametrize(
    "name", ["", "a", "a.exe", "a.seg.nrrd", "a.mhd", "a.nhdr", "a.hdr", "a.nrrd.py", ".nrrd/", "nrrd"]
)
def test_a_kind_that_is_not_taken_is_said_before_the_image_is_read(server: RunningServer, name: str) -> None:
    answer = send(server, b"x" * 1000, name)
    assert answer.status_code == 415, answer.text
    assert answer.json()["code"] == "image-kind"
    assert nothing_is_kept(server)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("a.nrrd", b"", 400),
        ("a.nrrd", b"nonsense", 422),
        ("a.nii.gz", b"\x1f\x8bnonsense", 422),
        ("a.dcm", b"\0" * 200, 422),
        ("a.png", b"\x89PNG\r\n\x1a\n", 422),
        ("a.npz", b"PK\x03\x04", 422),
        ("a.zip", b"no archive", 422),
        ("a.zip", a_zip({}), 422),
        ("a.zip", a_zip({"a.txt": b"nothing"}), 422),
        ("a.nrrd", NRRD % (b"9 9 9", b"\ndata file: /etc/passwd"), 422),
        ("a.mha", META, 422),
        ("a.nrrd", NRRD % (b"99999 99999 99999", b""), 422),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_and_deleted(server: RunningServer, name: str, body: bytes, status: int) -> None:
    answer = send(server, body, name)
    assert answer.status_code == status, answer.text
    assert str(server.service.sessions.folder) not in answer.text
    assert answer.json()["message"].endswith(".")
    assert nothing_is_kept(server)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.nrrd",
        "a/../../evil.nrrd",
        "/evil.nrrd",
        "..\\evil.nrrd",
        "C:\\evil.nrrd",
        "C:/evil.nrrd",
        "\\\\host\\evil",
    ],
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(server: RunningServer, block_file: Path, name: str) -> None:
    answer = send(server, a_zip({"good.nrrd": block_file.read_bytes(), name: b"evil"}), "a.zip")
    assert answer.status_code == 422, answer.text
    assert "lead out of it" in answer.json()["message"]
    assert not list(server.service.sessions.folder.parent.glob("*evil*"))
    assert nothing_is_kept(server)


def test_a_link_in_an_archive_is_refused(server: RunningServer) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("a.nrrd")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert send(server, packed.getvalue(), "a.zip").status_code == 422


def test_two_files_of_one_name_in_an_archive_are_refused(server: RunningServer, block_file: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.nrrd", block_file.read_bytes())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.nrrd", b"other")
    assert send(server, packed.getvalue(), "a.zip").status_code == 422
    assert nothing_is_kept(server)


def test_a_zip_bomb_ends_at_the_limit(start_server: StartServer) -> None:
    server = start_server(limits=Limits(unpacked_bytes=1_000_000, zip_files=10))
    bomb = a_zip({"a.nrrd": bytes(50_000_000)})
    assert len(bomb) < 100_000
    answer = send(server, bomb, "a.zip")
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert nothing_is_kept(server)
    # One that lies about its size: the central directory says one byte.
    size = (50_000_000).to_bytes(4, "little")
    lying = bomb.replace(size, (1).to_bytes(4, "little"))
    assert lying != bomb
    assert send(server, lying, "a.zip").status_code in (413, 422)
    assert nothing_is_kept(server)
    many = a_zip({f"{number}.txt": b"" for number in range(11)})
    assert send(server, many, "a.zip").status_code == 413
    assert nothing_is_kept(server)


def test_an_image_that_unpacks_to_more_than_the_limit_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(limits=Limits(unpacked_bytes=100_000))
    path = tmp_path / "zeros.nii.gz"
    sitk.WriteImage(sitk.Image(100, 100, 100, sitk.sitkInt16), str(path))
    assert path.stat().st_size < 20_000
    answer = send(server, path.read_bytes(), "a.nii.gz")
    assert answer.status_code == 422, answer.text
    assert nothing_is_kept(server)


def test_a_header_with_its_voxels_in_a_second_file_comes_as_an_archive(server: RunningServer, tmp_path: Path) -> None:
    write_image(tmp_path / "a.mhd", a_block())
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) == {"a.mhd", "a.raw"}
    answer = send(server, a_zip(files), "a.zip")
    assert answer.status_code == 201, answer.text
    assert answer.json()["shape_zyx"] == [12, 20, 24]


def test_a_folder_of_dicom_files_goes_as_an_archive_without_their_names(server: RunningServer, tmp_path: Path) -> None:
    folder = tmp_path / "DOE^JANE"
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    for k, part in enumerate(a_block()[2:6]):
        one = sitk.GetImageFromArray(part[np.newaxis])
        tags = {
            "0008|0060": "CT", "0020|000e": "1.2.826.0.1.1", "0020|000d": "1.2.826.0.1.2", "0020|0013": str(k + 1),
            "0008|0018": f"1.2.826.0.1.3.{k + 1}", "0020|0032": f"0\\0\\{k * 2.5}", "0020|0037": "1\\0\\0\\0\\1\\0",
        }  # fmt: skip
        for tag, value in tags.items():
            one.SetMetaData(tag, value)
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"DOE^JANE_{k}.dcm"))
        writer.Execute(one)
    with server.client() as client, client.open(folder) as image:
        assert image.facts["kind"] == "dicom"
        assert image.facts["modality"] == "CT"
        assert image.shape_zyx == (4, 20, 24)
        assert "DOE" not in str(image.facts)
        kept = np.load(server.service.sessions.folder / image.id / "voxels.npy")
        np.testing.assert_array_equal(kept, a_block()[2:6])
    with server.client() as client, pytest.raises(InputError, match="no series 99"):
        client.open(folder, series="99")


def test_one_frame_of_a_4d_image_is_taken(server: RunningServer, tmp_path: Path) -> None:
    frames = [sitk.GetImageFromArray(np.full((3, 20, 24), n, np.int16)) for n in range(4)]
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / "a.nii.gz"))
    with server.client() as client:
        with client.open(tmp_path / "a.nii.gz", frame=2) as image:
            assert (image.shape_zyx, image.facts["frames"]) == ((3, 20, 24), 4)
            assert any("Frame 2 of 4" in note for note in image.facts["notes"])
            assert set(np.unique(np.load(server.service.sessions.folder / image.id / "voxels.npy"))) == {2}
        with pytest.raises(UsageError, match="no frame 9"):
            client.open(tmp_path / "a.nii.gz", frame=9)


def test_a_colour_picture_is_an_image_of_one_slice(server: RunningServer, tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with server.client() as client, client.open(tmp_path / "a.png") as image:
        assert (image.shape_zyx, image.facts["channels"]) == ((1, 20, 24), 3)
        image.save(tmp_path / "a.nii.gz")
    fetched = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")))
    np.testing.assert_array_equal(fetched, pixels[np.newaxis])


def test_a_deleted_session_is_gone_with_everything(server: RunningServer, image: RemoteImage) -> None:
    folder = server.service.sessions.folder / image.id
    assert folder.is_dir()
    image.delete()
    assert not folder.exists()
    image.delete()
    box = Box(i=(5, 15), j=(3, 11), k=(2, 9))
    for asked in (lambda: image.preview(box, index=4), lambda: image.run([box])):
        with pytest.raises(ServiceError, match="no such session") as caught:
            asked()
        assert caught.value.status == 404
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/image.nii.gz")):
        answer = requests.request(method, server.address + image.path + path, headers=AUTHORIZED, timeout=WAIT)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_only_so_many_images_are_held(start_server: StartServer, block_file: Path) -> None:
    server = start_server(limits=Limits(sessions=3))
    body = block_file.read_bytes()
    ids = [send(server, body, "a.nrrd").json()["id"] for _ in range(3)]
    answer = send(server, body, "a.nrrd")
    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
    assert int(answer.headers["retry-after"]) > 0
    requests.delete(f"{server.address}/api/v1/sessions/{ids[0]}", headers=AUTHORIZED, timeout=WAIT)
    assert send(server, body, "a.nrrd").status_code == 201
    # What was refused for its content does not count.
    assert send(server, b"x", "a.nrrd").status_code == 429


def test_many_sessions_one_after_the_other_leave_nothing(server: RunningServer, block_file: Path) -> None:
    import psutil

    process = psutil.Process()
    with server.client() as client:
        for number in range(40):
            with client.open(block_file):
                pass
            if number == 9:
                before = process.num_fds()
    assert process.num_fds() <= before + 3
    assert nothing_is_kept(server)


def test_an_image_that_nobody_uses_expires(start_server: StartServer, block_file: Path) -> None:
    clock = Clock()
    server = start_server(limits=Limits(idle_seconds=600), clock=clock)
    with server.client() as client:
        used, unused = client.open(block_file), client.open(block_file)
        clock.now += 400
        assert client.request("GET", unused.path).json()["idle_seconds"] == 0
        client.request("GET", used.path)
        clock.now += 400
        client.request("GET", used.path)
        clock.now += 201
        assert client.request("GET", used.path).ok
        with pytest.raises(ServiceError, match="no such session"):
            client.request("GET", unused.path)
        assert [path.name for path in server.service.sessions.folder.iterdir()] == [used.id]


def test_an_image_expires_without_any_request(
    start_server: StartServer, block_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAMSegmentLib.service import app

    monkeypatch.setattr(app, "EXPIRY_SECONDS", 0.05)
    clock = Clock()
    server = start_server(limits=Limits(idle_seconds=600), clock=clock)
    with server.client() as client:
        client.open(block_file)
    clock.now += 601
    assert nothing_is_kept(server)


def test_an_image_with_a_run_on_it_does_not_expire(start_server: StartServer, block_file: Path) -> None:
    clock = Clock()
    server = start_server("slow", limits=Limits(idle_seconds=600), clock=clock)
    with server.client() as client:
        image = client.open(block_file)
        run = image.run([Box(i=(5, 15), j=(3, 11), k=(2, 9))])
        clock.now += 10_000
        server.service.sessions.expire()
        run.wait()
        assert run.report()["objects"][0]["voxels"] == 288


def test_everything_is_deleted_at_the_end(start_server: StartServer, block_file: Path) -> None:
    server = start_server()
    with server.client() as client:
        client.open(block_file)
    folder = server.service.sessions.folder
    assert any(folder.iterdir())
    server.stop()
    assert not folder.exists()


def test_a_client_that_goes_away_in_the_middle_of_its_image_leaves_nothing(server: RunningServer) -> None:
    head = (
        f"POST /api/v1/sessions?name=a.nrrd HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Length: 1000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as connection:
        connection.sendall(head.encode() + b"x" * 5000)
        until = time.monotonic() + WAIT
        while not list(server.service.sessions.folder.rglob("image.nrrd")) and time.monotonic() < until:
            time.sleep(0.02)
        assert list(server.service.sessions.folder.rglob("image.nrrd"))
    assert nothing_is_kept(server)
    assert requests.get(server.address + "/health", timeout=WAIT).ok


def test_an_image_that_stops_coming_is_given_up(tmp_path: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(ServiceProblem, match="did not come") as caught:
        asyncio.run(receive(slow(), tmp_path, ".nrrd", Limits(stall_seconds=0.05)))
    assert caught.value.status == 408


def test_a_sheared_image_comes_back_as_it_is(server: RunningServer, tmp_path: Path) -> None:
    matrix = np.diag([1.0, 1.0, 2.0, 1.0])
    matrix[0, 1] = 0.3
    write_nifti_image(tmp_path / "sheared.nii.gz", a_block(), VolumeGeometry((12, 20, 24), matrix))
    with server.client() as client, client.open(tmp_path / "sheared.nii.gz") as image:
        np.testing.assert_allclose(image.facts["ijk_to_lps"], matrix, atol=1e-6)
        image.save(tmp_path / "again.nii.gz")
    assert (tmp_path / "again.nii.gz").read_bytes() == (tmp_path / "sheared.nii.gz").read_bytes()
