"""Objects of several runs on one image as the segments of one file: what the viewer saves."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..io.segments import SegmentToWrite
from ..io.write_segmentation import check_output_grid, write_segmentation
from .problems import ServiceProblem
from .results import DICOM_KINDS, dicom_output, result_suffix
from .runs import Run
from .sessions import ImageSession


@dataclass(frozen=True)
class Part:
    """One segment of the file: the first object of a run, under a name and with a colour (red, green, blue in 0..1)."""

    run: Run
    name: str
    color: tuple[float, float, float]


def combined_file(session: ImageSession, parts: Sequence[Part], kind: str) -> Path:
    """Write a file of the `kind` into the session's folder and return its path, which is a new one each time.

    Raises `ServiceProblem` for runs that are not done (409) or of another image (404), and where the image cannot be
    written about in DICOM (415); `OutputError` for a format that cannot hold the grid or the masks.
    """
    volume = session.volume
    models = ", ".join(dict.fromkeys(part.run.setup.model for part in parts))
    dicom = dicom_output(volume, kind, models) if kind in DICOM_KINDS else None
    segments = [SegmentToWrite(part.name, _mask(session, part.run), part.color) for part in parts]
    path = session.folder / f"saved-{secrets.token_hex(8)}.{result_suffix(kind)}"
    check_output_grid(path, volume.geometry, volume.nifti_forms, dicom)
    write_segmentation(path, segments, volume.geometry, volume.nifti_forms, dicom)
    return path


def remove_combined(path: Path) -> None:
    """Remove a file that was sent, and what was written beside it."""
    for file in path.parent.glob(f"{path.name.split('.')[0]}.*"):
        file.unlink(missing_ok=True)


def _mask(session: ImageSession, run: Run) -> NDArray[np.bool_]:
    if run.session is not session:
        raise ServiceProblem("A run is of another image.", "Save each image by itself.", status=404, code="not-found")
    if run.result is None:
        raise ServiceProblem(
            f"A run is {run.state}.", "Wait for its end, or run it again.", status=409, code="not-done"
        )
    return run.result.objects[0].mask
