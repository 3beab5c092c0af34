"""Small cohorts: images with a bright ellipsoid in noise, and a manifest of them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.write_segmentation import write_segmentation

BOX = "14 10 0 50 38 2"
SIZE_ZYX = (3, 48, 64)
QUICK = Path(__file__).with_name("quick_cohort.py")

COUNT = 12
CORRUPT, TOO_LARGE = "c11", "c12"
"""Of the cohort that was run once: how many cases, and those that fail."""


@dataclass(frozen=True)
class Ran:
    """A cohort that was run to its end."""

    manifest: Path
    out: Path
    finished: subprocess.CompletedProcess[str]


def an_ellipsoid(shift: int = 0) -> np.ndarray:
    z, y, x = np.ogrid[: SIZE_ZYX[0], : SIZE_ZYX[1], : SIZE_ZYX[2]]
    return ((z - 1) / 3) ** 2 + ((y - 24 - shift % 3) / 12.0) ** 2 + ((x - 32 + shift % 5) / 16.0) ** 2 <= 1


def write_image(path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(40, 8, SIZE_ZYX)
    image = sitk.GetImageFromArray((noise + 120 * an_ellipsoid(seed)).astype(np.int16))
    image.SetSpacing((0.8, 0.9, 4.0))
    sitk.WriteImage(image, str(path))


def write_claim(path: Path, sizes: tuple[int, int, int] = (2048, 2048, 1600)) -> None:
    """Write an image of 13 GB of zeros that takes no room on the disk."""
    numbers = " ".join(map(str, sizes))
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {numbers}\nendian: little\nencoding: raw\n\n"
    with path.open("wb") as file:
        file.write(head.encode("ascii"))
        file.truncate(len(head) + 2 * sizes[0] * sizes[1] * sizes[2])


def write_reference(path: Path, image: Path, seed: int, name: str = "blob") -> None:
    write_segmentation(path, [SegmentToWrite(name, an_ellipsoid(seed))], read_volume(image).geometry)


def write_manifest(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def a_cohort(folder: Path, count: int) -> Path:
    """Write `count` images and their manifest; the third case has two objects, the fourth a reference."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        image = folder / f"c{number:02d}.nrrd"
        write_image(image, number)
        rows.append({"id": image.stem, "image": image.name, "box": BOX, "name": "blob", "reference": ""})
        if number == 3:
            rows.append({"id": image.stem, "image": "", "box": "20 14 1 44 34 1", "name": "part", "reference": ""})
        if number == 4:
            write_reference(folder / "c04.seg.nrrd", image, number)
            rows[-1]["reference"] = "c04.seg.nrrd"
    return write_manifest(folder / "manifest.csv", rows)


def quick(manifest: Path, out: Path, *more: object) -> list[str]:
    """Return the command that runs a cohort with a network that answers at once; any file serves as its weights."""
    weights = ("--model", "lite_medsam", "--weights", QUICK, "--offline")
    return [sys.executable, str(QUICK), *map(str, ("run", manifest, "-o", out, *weights, *more))]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def finish(command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, env=environment(), capture_output=True, encoding="utf-8", timeout=300, check=False, **more
    )


def outputs(out: Path) -> dict[str, bytes]:
    """The bytes of all results of a cohort, by their names."""
    folder = out / "segmentations"
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}


def sidecar(out: Path, case_id: str) -> dict[str, Any]:
    return json.loads((out / "sidecars" / f"{case_id}.json").read_text(encoding="utf-8"))


def litter(out: Path) -> list[str]:
    """Hidden files, but for the locks: what a writer leaves when it is killed."""
    return [file.name for file in out.rglob(".*") if not file.name.startswith(".run-")]
