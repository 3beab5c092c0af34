"""Read segmentations in the formats that are written: `.seg.nrrd`, label maps, pictures, challenge `.npz`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import VolumeGeometry
from .challenge_npz import read_npz
from .label_map import read_label_map
from .mask_picture import PICTURE_SUFFIXES, read_mask_picture
from .seg_nrrd import read_seg_nrrd
from .segments import SegmentationFile, SegmentToWrite


def read_segmentation(path: str | Path) -> SegmentationFile:
    """Return the segments of a file, masks (z,y,x) on the file's own grid. Raises `InputError`."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", "Check the path.")
    name = path.name.lower()
    if name.endswith(".seg.nrrd"):
        return read_seg_nrrd(path)
    if name.endswith(PICTURE_SUFFIXES):
        return read_mask_picture(path)
    return _read_npz(path) if name.endswith(".npz") else read_label_map(path)


def _read_npz(path: Path) -> SegmentationFile:
    arrays = read_npz(path, ("segs", "gts", "spacing"))
    labels = arrays.get("segs", arrays.get("gts"))
    spacing = arrays.get("spacing", np.ones(3))
    if labels is None or labels.ndim != 3 or spacing.shape != (3,):
        raise InputError(f"{path.name} has no label array segs or gts of three axes.", "Use a challenge .npz.")
    values = [int(v) for v in np.unique(labels) if v != 0]
    segments = tuple(SegmentToWrite(f"Label {value}", labels == value) for value in values)
    (z, y, x), (sx, sy, sz) = labels.shape, (float(v) for v in spacing)
    return SegmentationFile(segments, VolumeGeometry.from_spacing((z, y, x), (sz, sy, sx)))
