"""The files that a run writes: checked before the work starts, written when it is done."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..geometry import VolumeGeometry
from ..io.volume import Volume
from ..io.write_segmentation import (
    SEGMENTATION_SUFFIXES,
    check_output_grid,
    check_output_path,
    file_suffix,
    segments_from,
    write_segmentation,
)
from .progress import say
from .prompt_options import prompt_files

if TYPE_CHECKING:
    from ..results import Segmentation3D


@dataclass(frozen=True)
class Outputs:
    """The paths of the segmentation, the picture and the report; None: not asked for. `inputs` are never written
    over."""

    segmentation: str | None
    overlay: str | None
    report: str | None
    inputs: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: argparse.Namespace) -> Outputs:
        """Read what the options ask for. Raises `UsageError`, `OutputError` for what cannot be written."""
        inputs = (options.image, *prompt_files(options.prompts))
        outputs = cls(options.output, options.overlay, options.report, inputs)
        if not any((options.output, options.overlay, options.report)):
            raise UsageError("There is nothing to write.", "Give -o FILE, --overlay FILE.png or --report FILE.json.")
        outputs.check()
        return outputs

    def check(self) -> None:
        """Raise `UsageError`, `OutputError` for a path that cannot be written, or is an input."""
        for path, suffixes in self._kinds():
            if path:
                check_output_path(path, suffixes, self.inputs)

    def check_grid(self, geometry: VolumeGeometry) -> None:
        """Raise `OutputError` when the segmentation's format cannot hold the grid."""
        if self.segmentation:
            check_output_grid(self.segmentation, geometry)

    def of_frame(self, index: int, count: int) -> Outputs:
        """Return the same files with the frame's number before the suffix: `liver_07.nii.gz`."""
        number = str(index).zfill(len(str(count - 1)))
        segmentation, overlay, report = (
            _numbered(path, file_suffix(path, suffixes), number) if path else None for path, suffixes in self._kinds()
        )
        return replace(self, segmentation=segmentation, overlay=overlay, report=report)

    def _kinds(self) -> tuple[tuple[str | None, tuple[str, ...]], ...]:
        return ((self.segmentation, SEGMENTATION_SUFFIXES), (self.overlay, (".png",)), (self.report, (".json",)))


def write_outputs(
    outputs: Outputs,
    volume: Volume,
    result: Segmentation3D,
    *,
    grey_u8: NDArray[np.uint8],
    terminology: list[str],
    report: Mapping[str, Any],
    quiet: bool,
) -> None:
    """Write the files that were asked for; `grey_u8` is the image as the model saw it."""
    segments = segments_from(
        [item.name for item in result.objects], [item.mask for item in result.objects], terminologies=terminology
    )
    if outputs.segmentation:
        write_segmentation(outputs.segmentation, segments, volume.geometry)
        say(f"wrote {outputs.segmentation}", quiet)
    if outputs.overlay:
        from ..io.overlay import write_overlay

        write_overlay(outputs.overlay, grey_u8, segments, axis=result.axis, **overlay_grid(volume))
        say(f"wrote {outputs.overlay}", quiet)
    if outputs.report:
        from ..io.report import write_report

        write_report(outputs.report, report)
        say(f"wrote {outputs.report}", quiet)


class OverlayGrid(TypedDict, total=False):
    geometry: VolumeGeometry
    spacing_zyx: tuple[float, float, float]


def overlay_grid(volume: Volume) -> OverlayGrid:
    """Return the grid that orients a picture: the patient's where the axes lie in one, else the array's own."""
    if volume.has_patient_axes:
        return {"geometry": volume.geometry}
    return {"spacing_zyx": volume.spacing_zyx}


def _numbered(path: str, suffix: str, number: str) -> str:
    place = Path(path)
    stem, kept = place.name[: -len(suffix)], place.name[-len(suffix) :]
    return str(place.with_name(f"{stem}_{number}{kept}"))
