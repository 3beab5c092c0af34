"""One sound file of every kind that is read, and what reading it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from dicom_support import a_dataset, an_enhanced, save, write_series
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.challenge_npz import read_challenge_npz
from MedSAMSegmentLib.io.markups import read_markups
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.read_volume import list_dicom, read_volume
from MedSAMSegmentLib.io.segments import SegmentationFile, SegmentToWrite
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.io.write_segmentation import write_segmentation

PNG = b"\x89PNG\r\n\x1a\n"
BLANK_LINE = b"\n\n"
LOCAL = b"ElementDataFile = LOCAL\n"

GRID = VolumeGeometry.from_spacing((4, 24, 30), (3.0, 0.9, 0.8))


@dataclass(frozen=True)
class Sample:
    """`victims` are the files that are damaged, names below the sample's folder; `main` is what is read.

    `sealed_after`: a change behind these bytes must not go unseen, as the format has a checksum over what follows;
    None: it has none.
    `cut_unseen`: a header that ends with its file may lose its last lines, and nobody can know.
    """

    main: str
    victims: tuple[str, ...]
    read: Callable[[Path], Any]
    sealed_after: bytes | None = None
    cut_unseen: bool = False


def make_samples(folder: Path) -> dict[str, Sample]:
    """Write each sample into a folder of its own below `folder`, named as it is called."""
    samples: dict[str, Sample] = {}
    rng = np.random.default_rng(7)
    voxels = rng.integers(-200, 900, GRID.shape_zyx).astype(np.int16)
    voxels[:, 4:20] = 40  # compressible
    for name, sample, write in (*_volumes(voxels), *_pictures(rng), *_dicom(rng), *_segmentations(rng), *_others(rng)):
        place = folder / name
        place.mkdir(parents=True)
        write(place)
        samples[name] = sample
    return samples


def digest(result: Any) -> str:
    """Return a hash of what a reader gave; raises AssertionError for what cannot be used."""
    parts: list[bytes] = []
    if isinstance(result, Volume):
        grid = _grid(result.geometry)
        # The size of a picture's pixels lies outside its pixels, and is said to be missing where it is.
        parts += [_array(result.array_zyx), b"" if result.kind == "image" else grid, repr(result.time_axis).encode()]
        assert result.array_zyx.shape[:3] == result.shape_zyx, "the grid is not that of the array"
        assert result.array_zyx.dtype.kind in "biuf", "values that are no numbers"
        assert np.isfinite(result.array_zyx).all(), "values that are not finite"
        if result.frames_tzyx is not None:
            parts.append(_array(result.frames_tzyx))
    elif isinstance(result, SegmentationFile):
        parts.append(_grid(result.geometry))
        for item in result.segments:
            assert item.mask_zyx.shape == result.geometry.shape_zyx, "the grid is not that of the mask"
            parts += [item.name.encode("utf-8", "replace"), repr((item.color, item.terminology)).encode()]
            parts.append(_array(item.mask_zyx))
    else:
        parts.append(repr(result).encode("utf-8", "replace"))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _array(array: NDArray) -> bytes:
    return f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()


def _grid(geometry: VolumeGeometry) -> bytes:
    assert np.isfinite(geometry.ijk_to_lps).all(), "a grid that is not finite"
    assert min(geometry.spacing_zyx) > 0, "voxels without size"
    return repr(geometry.shape_zyx).encode() + np.asarray(geometry.ijk_to_lps).tobytes()


Made = tuple[str, Sample, Callable[[Path], None]]


def _volumes(voxels: NDArray) -> list[Made]:
    def itk(name: str, compressed: bool = False) -> Callable[[Path], None]:
        def write(place: Path) -> None:
            image = sitk.GetImageFromArray(voxels)
            image.SetSpacing(GRID.spacing_zyx[::-1])
            image.SetOrigin((-10.0, 20.0, 30.0))
            sitk.WriteImage(image, str(place / name), useCompression=compressed)

        return write

    def one(name: str, kind: str, compressed: bool = False, sealed: bytes | None = None) -> Made:
        return kind, Sample(name, (name,), read_volume, sealed), itk(name, compressed)

    pair = Sample("a.hdr", ("a.hdr", "a.img"), read_volume)
    return [
        one("a.nii", "NIfTI"),
        one("a.nii.gz", "NIfTI, gzip", sealed=b""),
        ("NIfTI, two files", pair, itk("a.hdr")),
        one("a.nrrd", "NRRD"),
        one("a.nrrd", "NRRD, gzip", compressed=True, sealed=BLANK_LINE),
        (
            "NRRD, detached",
            Sample("a.nhdr", ("a.nhdr", "a.raw"), read_volume, cut_unseen=True),
            itk("a.nhdr"),
        ),
        one("a.mha", "MetaImage"),
        one("a.mha", "MetaImage, zlib", compressed=True, sealed=LOCAL),
        ("MetaImage, detached", Sample("a.mhd", ("a.mhd", "a.raw"), read_volume), itk("a.mhd")),
    ]


def _pictures(rng: np.random.Generator) -> list[Made]:
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8) + rng.integers(0, 9, (40, 50), np.uint8)
    colour = np.stack([smooth, smooth[::-1], smooth[:, ::-1]], -1)
    deep = smooth.astype(np.uint16) * 200

    def one(kind: str, name: str, array: NDArray, sealed: bytes | None = None, **options: Any) -> Made:
        return (
            kind,
            Sample(name, (name,), read_volume, sealed),
            lambda place: Image.fromarray(array).save(place / name, **options),
        )

    def frames(place: Path) -> None:
        for number in range(3):
            Image.fromarray(smooth + np.uint8(number)).save(place / f"f{number}.png")

    def pages(place: Path) -> None:
        first, *others = (Image.fromarray(deep + np.uint16(n)) for n in range(3))
        first.save(place / "a.tif", save_all=True, append_images=others)

    def wide(place: Path) -> None:
        sitk.WriteImage(sitk.GetImageFromArray(smooth.astype(np.float32)), str(place / "a.tif"))

    def deep_colour(place: Path) -> None:
        sitk.WriteImage(sitk.GetImageFromArray(colour.astype(np.uint16) * 99, isVector=True), str(place / "a.png"))

    return [
        one("PNG", "a.png", smooth, PNG),
        one("PNG, colour", "a.png", colour, PNG),
        one("PNG, 16 bits", "a.png", deep, PNG),
        ("PNG, colour, 16 bits", Sample("a.png", ("a.png",), read_volume, PNG), deep_colour),
        one("JPEG", "a.jpg", colour),
        one("BMP", "a.bmp", smooth),
        one("TIFF", "a.tif", smooth),
        one("TIFF, deflate", "a.tif", deep, compression="tiff_deflate"),
        one("TIFF, LZW", "a.tif", colour, compression="tiff_lzw"),
        ("TIFF, pages", Sample("a.tif", ("a.tif",), read_volume), pages),
        ("TIFF, float", Sample("a.tif", ("a.tif",), read_volume), wide),
        ("frames", Sample("", ("f0.png", "f1.png", "f2.png"), read_volume, PNG), frames),
    ]


def _dicom(rng: np.random.Generator) -> list[Made]:
    stored = rng.integers(0, 3000, (3, 16, 20)).astype(np.uint16)
    stored[:, 4:] = 70

    def compressed(place: Path) -> None:
        data = a_dataset(stored[0])
        data.compress(RLELossless, stored[0])
        save(data, place / "a.dcm")

    def deflated(place: Path) -> None:
        data = a_dataset(stored[0])
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        save(data, place / "a.dcm")

    def enhanced(place: Path) -> None:
        save(an_enhanced(stored, [(0, 0, 3 * n) for n in range(3)]), place / "a.dcm")

    def listed(path: Path) -> Any:
        list_dicom(path)
        return read_volume(path)

    a_file = Sample("a.dcm", ("a.dcm",), listed)
    series = tuple(f"1.2.3.4_{n:03d}.dcm" for n in (1, 2, 3))
    return [
        ("DICOM", a_file, lambda place: save(a_dataset(stored[0]), place / "a.dcm") and None),
        ("DICOM, RLE", a_file, compressed),
        ("DICOM, deflated", a_file, deflated),
        ("DICOM, enhanced", a_file, enhanced),
        ("DICOM, series", Sample("", series, listed), lambda place: write_series(place, stored)),
    ]


def _segmentations(rng: np.random.Generator) -> list[Made]:
    first = np.zeros(GRID.shape_zyx, bool)
    first[1:3, 5:15, 6:20] = rng.random((2, 10, 14)) < 0.8
    second = np.zeros(GRID.shape_zyx, bool)
    second[2:, 12:20, 15:25] = True
    segments = [SegmentToWrite("Läsion", first), SegmentToWrite("node", second & ~first)]
    flat = VolumeGeometry.from_spacing((1, *GRID.shape_zyx[1:]))
    flat_segments = [SegmentToWrite(item.name, item.mask_zyx[2:3]) for item in segments]

    def one(kind: str, name: str, sealed: bytes | None = None, *victims: str) -> Made:
        picture = name.endswith((".png", ".tif"))
        return (
            kind,
            Sample(name, victims or (name,), read_segmentation, sealed),
            lambda place: (
                write_segmentation(place / name, flat_segments if picture else segments, flat if picture else GRID)
                and None
            ),
        )

    return [
        one("segmentation .seg.nrrd", "a.seg.nrrd", BLANK_LINE),
        one("label map NIfTI", "a.nii.gz", b""),
        one("label map NRRD", "a.nrrd", BLANK_LINE),
        one("label map MetaImage", "a.mha", LOCAL),
        one("list of labels", "a.nii.gz", None, "a.labels.json"),
        one("mask .npz", "a.npz", b""),
        one("mask PNG", "a.png", PNG),
        one("mask TIFF", "a.tif"),
    ]


def _others(rng: np.random.Generator) -> list[Made]:
    def case(place: Path) -> None:
        images = rng.integers(0, 255, GRID.shape_zyx).astype(np.uint8)
        boxes = np.array([[3, 4, 1, 20, 18, 3]])
        np.savez_compressed(place / "a.npz", imgs=images, spacing=np.array((0.8, 0.9, 3.0)), boxes=boxes, gts=images)

    def case_read(path: Path) -> Any:
        found = read_challenge_npz(path)
        return digest(found.volume), found.boxes, None if found.reference is None else _array(found.reference)

    def markups(place: Path) -> None:
        points: list[dict[str, Any]] = [
            {"position": [8.0 * n, 9.0, 6.0], "label": "-" * n, "positionStatus": "defined"} for n in range(1, 3)
        ]
        mirrored = [{**p, "position": [-p["position"][0], -p["position"][1], p["position"][2]]} for p in points]
        roi: dict[str, Any] = {"type": "ROI", "coordinateSystem": "LPS", "center": [10, 9, 5], "size": [9, 8, 6]}
        roi["orientation"] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        content = {
            "markups": [
                roi,
                {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": mirrored},
                {"type": "Line", "coordinateSystem": "LPS", "controlPoints": points},
            ]
        }
        (place / "a.mrk.json").write_text(json.dumps(content, indent=1))

    return [
        ("challenge .npz", Sample("a.npz", ("a.npz",), case_read, b""), case),
        ("markups", Sample("a.mrk.json", ("a.mrk.json",), lambda path: read_markups(path, GRID)), markups),
    ]
