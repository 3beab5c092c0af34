"""The parsers that get damaged bytes, each with sound inputs to begin with."""

from __future__ import annotations

import io
import itertools
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from part_weights import TENSORS
from part_worker import VOLUME, WANTED, conversation
from safetensors.torch import save
from sample_files import GRID, make_samples

from MedSAMSegmentLib.checkpoints.weights import load_state_dict
from MedSAMSegmentLib.io.challenge_npz import read_challenge_npz
from MedSAMSegmentLib.io.compressed_voxels import check_compressed_voxels
from MedSAMSegmentLib.io.detached_headers import require_data_files
from MedSAMSegmentLib.io.dicom_header import is_dicom_file, read_dataset
from MedSAMSegmentLib.io.file_kinds import kind_by_content
from MedSAMSegmentLib.io.markups import read_markups
from MedSAMSegmentLib.io.nifti_header import parse_nifti
from MedSAMSegmentLib.io.picture_spacing import picture_spacing
from MedSAMSegmentLib.io.png_integrity import check_png_integrity
from MedSAMSegmentLib.io.tiff_pages import read_tiff_pages
from MedSAMSegmentLib.results import ObjectResult, PackedMask, Segmentation3D, SliceResult
from MedSAMSegmentLib.worker.frames import FrameParser, encode_frame
from MedSAMSegmentLib.worker.pending import Pending
from MedSAMSegmentLib.worker.protocol import SelfCheck, parse_request
from MedSAMSegmentLib.worker.wire_masks import decode_segmentation, decode_slice, encode_segmentation, encode_slice

SHARES = {
    "requests": 0.25,
    "answers": 0.15,
    "markups": 0.2,
    "npz": 0.1,
    "NIfTI headers": 0.1,
    "image headers": 0.14,
    "DICOM headers": 0.03,
    "checkpoints": 0.03,
}
"""Each target's part of all inputs."""

Target = tuple[list[bytes], Callable[[bytes, random.Random], Any]]


def make_targets(folder: Path) -> dict[str, Target]:
    """Return each target's sound inputs and its parser; files are written below `folder`."""
    warnings.simplefilter("ignore")
    make_samples(folder / "samples")
    files = {path: path.read_bytes() for path in sorted((folder / "samples").rglob("*")) if path.is_file()}

    def of_suffix(*suffixes: str) -> list[bytes]:
        return [content for path, content in files.items() if path.name.endswith(suffixes)]

    def from_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, random.Random], Any]:
        path = folder / name

        def parse(content: bytes, rng: random.Random) -> None:
            path.write_bytes(content)
            read(path)

        return parse

    requests = [bytes(b"".join(pieces)) for pieces in conversation()]
    headers = of_suffix(".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".tif", ".bmp", ".jpg")
    return {
        "requests": ([*requests, b"".join(requests)], _parse_requests),
        "answers": (_answers(), _parse_answers),
        "markups": (of_suffix(".mrk.json"), from_file("a.mrk.json", lambda path: read_markups(path, GRID))),
        "npz": (of_suffix(".npz"), from_file("a.npz", read_challenge_npz)),
        "NIfTI headers": (of_suffix(".nii", ".hdr"), lambda content, rng: _parse_nifti(content)),
        "image headers": (headers, from_file("image", _image_header)),
        "DICOM headers": (of_suffix(".dcm"), from_file("a.dcm", _dicom_header)),
        "checkpoints": (_checkpoints(), from_file("a.pth", load_state_dict)),
    }


def _frames(content: bytes, rng: random.Random) -> list[Any]:
    """Parse bytes that come in parts of any size."""
    parser, found = FrameParser(), []
    cut = rng.randrange(len(content) + 1)
    for part in (content[:cut], content[cut:]):
        found += list(parser.iter_feed(part))
    return found


def _parse_requests(content: bytes, rng: random.Random) -> None:
    for frame in _frames(content, rng):
        parse_request(frame)


def _answers() -> list[bytes]:
    """The frames of a slice and of a whole result."""
    result = Segmentation3D(
        [ObjectResult("a", PackedMask(VOLUME.shape, 0))], 0, VOLUME.shape, "m", "static", "cpu", "w", 0.5, 3, 4
    )
    frames = []
    for index, mask in enumerate(WANTED):
        item = SliceResult(0, 0, index, mask, 0.9, ("low-score",))
        result.objects[0].add(item)
        frames.append(_frame("slice", *encode_slice(item)))
    frames.append(_frame("done", *encode_segmentation(result)))
    frames.append(_frame("progress", {"done": 1, "total": 2, "stage": "segment"}, {}))
    return frames


def _frame(kind: str, fields: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    return b"".join(bytes(piece) for piece in encode_frame({**fields, "kind": kind, "id": 1}, arrays))


def _parse_answers(content: bytes, rng: random.Random) -> None:
    z, y, x = VOLUME.shape
    pending: Pending[Any] = Pending(
        SelfCheck(),
        lambda frame: decode_segmentation(frame.header, frame.arrays, (0, 0, 0), (z, y, x)),
        decode_slice=lambda frame: decode_slice(frame.header, frame.arrays, (0, 0, 0), (z, y, x)),
    )
    for frame in itertools.islice(_frames(content, rng), 20):
        pending.decode_event(frame)


def _parse_nifti(content: bytes) -> None:
    header = parse_nifti(content)
    if header is not None:
        _ = header.voxel_bytes, header.file_bytes
        header.forms.placement()


def _image_header(path: Path) -> None:
    kind = kind_by_content(path)
    if kind in (".nrrd", ".mha"):
        require_data_files(path)
        check_compressed_voxels(path)
    elif kind == ".png":
        check_png_integrity(path)
        picture_spacing(path)
    else:
        read_tiff_pages(path)
        picture_spacing(path)


def _dicom_header(path: Path) -> None:
    if is_dicom_file(path):
        read_dataset(path, pixels=False)


def _checkpoints() -> list[bytes]:
    files = [io.BytesIO(), io.BytesIO()]
    for file, zipped in zip(files, (True, False), strict=True):
        torch.save(TENSORS, file, _use_new_zipfile_serialization=zipped)
    return [*(file.getvalue() for file in files), save(TENSORS)]
