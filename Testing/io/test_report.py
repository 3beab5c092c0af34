"""JSON reports and input digests."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAMSegmentLib.errors import InputError, OutputError
from MedSAMSegmentLib.io.report import file_digest, write_report
from MedSAMSegmentLib.prompts import Box


@dataclass
class Score:
    value: np.float32
    flags: tuple[str, ...]


def test_a_report_holds_plain_json_whatever_went_in(tmp_path: Path) -> None:
    report = {
        "n": np.int64(3),
        "x": np.float64("nan"),
        "ok": np.bool_(True),
        "array": np.array([[1.5, np.inf]]),
        "path": Path("a/b"),
        "score": Score(np.float32(0.5), ("low",)),
        "box": Box(i=(1, 2), j=(3, 4), k=(5, 6)),
        7: "Läsion",
    }
    write_report(tmp_path / "r.json", report)
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == {
        "n": 3,
        "x": None,
        "ok": True,
        "array": [[1.5, None]],
        "path": str(Path("a/b")),
        "score": {"value": 0.5, "flags": ["low"]},
        "box": {"i": [1, 2], "j": [3, 4], "k": [5, 6]},
        "7": "Läsion",
    }


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_report(tmp_path / "missing" / "r.json", {})


def test_a_file_digest_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_folder_digest_follows_names_and_contents(tmp_path: Path) -> None:
    for name, content in (("b/2", b"two"), ("a", b"one")):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(content)
    first = file_digest(tmp_path / "x")
    listing = f"{hashlib.sha256(b'one').hexdigest()}  a\n{hashlib.sha256(b'two').hexdigest()}  b/2\n"
    assert first == hashlib.sha256(listing.encode()).hexdigest()
    (tmp_path / "x" / "a").rename(tmp_path / "x" / "c")
    assert file_digest(tmp_path / "x") != first


@pytest.mark.parametrize(("header", "data"), [("v.mhd", "v.raw"), ("v.nhdr", "v.raw"), ("v.hdr", "v.img")])
def test_a_digest_of_a_header_follows_its_voxels(tmp_path: Path, header: str, data: str) -> None:
    voxels = np.zeros((2, 3, 4), np.int16)
    digests = set()
    for value in (1, 2):
        voxels[1, 1, 1] = value
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / header))
        parts = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in (header, data)}
        listing = "".join(f"{parts[name]}  {name}\n" for name in sorted(parts))
        assert file_digest(tmp_path / header) == hashlib.sha256(listing.encode()).hexdigest()
        digests.add(file_digest(tmp_path / header))
    assert len(digests) == 2


def test_a_report_on_a_file_whose_name_is_no_text_is_written(tmp_path: Path) -> None:
    write_report(tmp_path / "r.json", {"file": os.fsdecode(b"l\xe4sion.nrrd")})
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["file"] == "l?sion.nrrd"


def test_a_digest_of_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        file_digest(tmp_path / "missing")
