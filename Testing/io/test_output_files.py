"""Outputs against inputs and each other, files that appear whole or not at all, and sizes that headers claim."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from MedSAMSegmentLib.errors import InputError, OutputError
from MedSAMSegmentLib.io import atomic
from MedSAMSegmentLib.io.atomic import atomic_write, atomic_writes, record_written_files
from MedSAMSegmentLib.io.claimed_size import (
    MOST_BZIPPED,
    MOST_DEFLATED,
    SLACK,
    require_plausible,
    require_plausible_voxels,
)
from MedSAMSegmentLib.io.output_files import check_against_each_other, check_against_inputs, existing


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nrrd"
    path.write_bytes(b"voxels")
    return path


def test_an_output_is_no_input_under_any_name(scan: Path, tmp_path: Path) -> None:
    check_against_inputs([tmp_path / "mask.nrrd"], [scan])
    (tmp_path / "link.nrrd").symlink_to(scan)
    os.link(scan, tmp_path / "hard.nrrd")
    (tmp_path / "sub").mkdir()
    for name in ("scan.nrrd", "link.nrrd", "hard.nrrd", "sub/../scan.nrrd"):
        with pytest.raises(OutputError, match="one of the inputs"):
            check_against_inputs([tmp_path / "mask.nrrd", tmp_path / name], [scan])


def test_in_a_folder_that_is_an_input_only_dicom_files_are_kept(tmp_path: Path) -> None:
    slice_, other, outside = tmp_path / "in" / "1", tmp_path / "in" / "mask.nrrd", tmp_path / "1"
    slice_.parent.mkdir()
    for path in (slice_, outside):
        path.write_bytes(bytes(128) + b"DICM" + bytes(20))
    other.write_bytes(b"NRRD0004\n")
    check_against_inputs([other, slice_.with_name("new.dcm"), outside], [slice_.parent])
    with pytest.raises(OutputError, match="one of the inputs"):
        check_against_inputs([slice_], [slice_.parent])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("mask.nrrd", "mask.nrrd", True),
        ("mask.nrrd", "MASK.nrrd", True),
        ("Le\u0301sion.nrrd", "L\u00e9sion.nrrd", True),
        ("mask.nrrd", "mask.nii", False),
        ("a/mask.nrrd", "b/mask.nrrd", False),
        ("a/mask.nrrd", "a/../a/mask.nrrd", True),
    ],
)
def test_two_outputs_are_two_files(tmp_path: Path, one: str, other: str, same: bool) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    outputs = [tmp_path / one, tmp_path / other]
    if not same:
        check_against_each_other(outputs)
        return
    with pytest.raises(OutputError, match="one file"):
        check_against_each_other(outputs)


def test_a_link_that_leads_nowhere_is_there_too(scan: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nothing")
    assert existing([scan, tmp_path / "new", link]) == (scan, link)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "mask.nii.gz"
    with record_written_files() as written, atomic_write(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".mask.nii.gz.")
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"whole")
        assert not target.exists()
        assert written == []
    assert target.read_bytes() == b"whole"
    assert written == [target]
    assert list(tmp_path.iterdir()) == [target]
    with atomic_write(target, ".png") as temporary:
        assert temporary.suffix == ".png"
    assert written == [target], "recorded no longer"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("ITK:\nit failed"), ValueError()]
)
def test_of_a_write_that_fails_nothing_stays(tmp_path: Path, error: Exception) -> None:
    target = tmp_path / "mask.nrrd"
    target.write_bytes(b"old")
    kind = ValueError if isinstance(error, ValueError) else OutputError

    def fail() -> None:
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with record_written_files() as written, pytest.raises(kind) as caught:
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    assert written == []
    if isinstance(error, OSError):
        assert "No space left on device" in str(caught.value)
    if isinstance(error, RuntimeError):
        assert "it failed" in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="files are not locked on Windows")
@pytest.mark.parametrize("moved", [0, 1])
def test_a_writer_that_was_held_up_puts_nothing_beside_the_file_of_another(
    tmp_path: Path, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "LONGEST_WAIT", 0.05)
    move, moves = os.replace, 0

    def write(words: str) -> None:
        with atomic_writes((tmp_path / "a.nii.gz", ".nii.gz"), (tmp_path / "a.labels.json", ".json")) as both:
            for path in both:
                path.write_text(words, encoding="utf-8")

    def replace(source: Path, target: Path) -> None:
        nonlocal moves
        moves += 1
        if moves == moved + 1:
            write("second")
        move(source, target)

    monkeypatch.setattr(atomic.os, "replace", replace)
    with pytest.raises(OutputError, match="another process wrote it meanwhile"):
        write("first")
    assert {p.name: p.read_text(encoding="utf-8") for p in tmp_path.iterdir()} == {
        "a.nii.gz": "second",
        "a.labels.json": "second",
    }


def test_whoever_overtakes_a_writer_leaves_the_files_of_other_targets(tmp_path: Path) -> None:
    token, long = "0123456789ab", "x" * 50
    theirs = [f".b.nii.gz.{token}.nii.gz", f".{long[:40]}.{token}.nii.gz", f".a.nii.gz.{token[:8]}.nii.gz"]
    for name in (*theirs, f".a.nii.gz.{token}.nii.gz"):
        (tmp_path / name).touch()
    atomic._overtake((), [tmp_path / "a.nii.gz", tmp_path / f"{long}.json"])
    assert {path.name for path in tmp_path.iterdir()} == set(theirs)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"), atomic_write(tmp_path / "no" / "mask.nrrd"):
        pass
    with pytest.raises(OutputError, match="is a folder"), atomic_write(tmp_path):
        pass


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_a_new_file_has_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "mask.nrrd") as temporary:
            temporary.write_bytes(b"whole")
    finally:
        os.umask(before)
    assert (tmp_path / "mask.nrrd").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("claimed", "options", "plausible"),
    [
        (6, {"compressed": False}, True),
        (7, {"compressed": False}, False),
        (100, {"compressed": False, "held": 100}, True),
        (6 * MOST_DEFLATED + SLACK, {"compressed": True}, True),
        (6 * MOST_DEFLATED + SLACK + 1, {"compressed": True}, False),
        (12 + SLACK, {"compressed": True, "ratio": 2}, True),
        (13 + SLACK, {"compressed": True, "ratio": 2}, False),
        (1, {"compressed": False, "held": 0}, False),
    ],
)
def test_a_claim_is_held_against_what_the_file_can_hold(
    scan: Path, claimed: int, options: dict, plausible: bool
) -> None:
    if plausible:
        require_plausible(claimed, scan, **options)
        return
    with pytest.raises(InputError, match=f"announces {claimed} bytes"):
        require_plausible(claimed, scan, **options)


HEADER = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: {}\n\n"


@pytest.mark.parametrize(
    ("encoding", "most"),
    [
        ("raw", lambda size: size),
        ("text", lambda size: size * 8),
        ("hex", lambda size: size * 8),
        ("gzip", lambda size: size * MOST_DEFLATED + SLACK),
        ("GZ", lambda size: size * MOST_DEFLATED + SLACK),
        ("bzip2", lambda size: size * MOST_BZIPPED + SLACK),
    ],
)
def test_how_much_a_nrrd_can_hold_depends_on_its_encoding(tmp_path: Path, encoding: str, most) -> None:
    path = tmp_path / "claim.nrrd"
    path.write_bytes(HEADER.format(encoding).encode() + bytes(10))
    limit = most(path.stat().st_size)
    require_plausible_voxels(path, limit)
    with pytest.raises(InputError, match="cut off or damaged"):
        require_plausible_voxels(path, limit + 1)
