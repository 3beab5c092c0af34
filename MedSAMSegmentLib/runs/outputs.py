"""The files that a run writes: checked before the work starts, written when it is done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import VolumeGeometry
from ..io.dicom_output import DICOM_OUTPUT_SUFFIX, DicomOutput, empty_segments, require_dicom_writer
from ..io.file_kinds import IMAGE_SUFFIXES, image_suffix
from ..io.output_files import (
    check_against_each_other,
    check_against_inputs,
    existing,
    image_and_companions,
    segmentation_and_companions,
)
from ..io.volume import Volume
from ..io.write_segmentation import (
    SEGMENTATION_SUFFIXES,
    check_output_grid,
    check_output_path,
    file_suffix,
    segmentation_files,
    segments_from,
    write_segmentation,
)
from .options import PromptOption, Say
from .prompt_options import files_of_prompts

if TYPE_CHECKING:
    from ..results import Segmentation3D


@dataclass(frozen=True)
class Outputs:
    """The paths of the segmentation, the picture and the report; None: not asked for.

    `inputs` are the files that are never written over; `replaced` those that are there and may be.
    """

    segmentation: str | None
    overlay: str | None
    report: str | None
    inputs: tuple[Path, ...] = ()
    replaced: tuple[Path, ...] = ()
    dicom_type: str = "seg"

    @property
    def is_dicom(self) -> bool:
        """True when the segmentation is to be a DICOM file."""
        return self.segmentation is not None and self.segmentation.lower().endswith(DICOM_OUTPUT_SUFFIX)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that will be written, with what belongs to the segmentation."""
        files = segmentation_files(self.segmentation) if self.segmentation else ()
        return (*files, *(Path(path) for path in (self.overlay, self.report) if path))

    @property
    def has_placeholder(self) -> bool:
        return any("{name}" in path for path, _ in self._kinds() if path)

    def check(self) -> None:
        """Raise `UsageError`, `OutputError` for a path that cannot be written, is an input's, or is there twice."""
        for path, suffixes in self._kinds():
            if path:
                check_output_path(path, suffixes)
        if self.is_dicom:
            require_dicom_writer(self.dicom_type)
        check_against_inputs(self.files, self.inputs)
        check_against_each_other(self.files)

    def check_volume(self, volume: Volume) -> None:
        """Raise `OutputError` for a grid that the segmentation's format cannot hold, and for what would harm the
        files that the volume was read from."""
        if self.segmentation:
            dicom = DicomOutput.of(volume, self.dicom_type) if self.is_dicom else None
            check_output_grid(self.segmentation, volume.geometry, volume.nifti_forms, dicom)
        check_against_inputs(self.files, volume.parts)
        if volume.kind == "frames":
            for path in self.files:
                if path.suffix.lower() in IMAGE_SUFFIXES and path.parent.resolve() == volume.source.resolve():
                    raise OutputError(
                        f"{path} would be one of the frames in {volume.source}.", "Choose another folder for it."
                    )

    def of_frame(self, index: int, count: int) -> Outputs:
        """Return the same files with the frame's number before the suffix: `liver_07.nii.gz`."""
        return self._marked(str(index).zfill(len(str(count - 1))))

    def of_image(self, image: str) -> Outputs:
        """Return the same files with the image's name where `{name}` stands, else before the suffix."""
        name = Path(os.path.abspath(image)).name
        suffix = image_suffix(Path(name))
        return self._marked(name.removesuffix(name[len(name) - len(suffix) :]) if suffix else name)

    def beside_what_appeared(self) -> Outputs:
        """Return these outputs, under other names where a file has appeared that nobody agreed to replace."""
        mark, chosen = 2, self
        while set(existing(chosen.files)) - set(self.replaced):
            chosen, mark = self._marked(str(mark)), mark + 1
        return chosen

    def _marked(self, mark: str) -> Outputs:
        segmentation, overlay, report = (
            _marked(path, file_suffix(path, suffixes), mark) if path else None for path, suffixes in self._kinds()
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
    terminology: Sequence[str],
    algorithm: str,
    report: Mapping[str, Any],
    say: Say,
) -> None:
    """Write the files that were asked for and name each; `grey_u8` is the image as the model saw it, `algorithm` the
    model."""
    segments = segments_from(
        [item.name for item in result.objects], [item.mask for item in result.objects], terminologies=terminology
    )
    outputs = outputs.beside_what_appeared()
    if outputs.segmentation:
        dicom = DicomOutput.of(volume, outputs.dicom_type, algorithm) if outputs.is_dicom else None
        for file in write_segmentation(outputs.segmentation, segments, volume.geometry, volume.nifti_forms, dicom):
            say(f"wrote {file}")
        for name in empty_segments(segments) if dicom else ():
            say(f"warning: {name} is empty, and was left out of {outputs.segmentation}")
    if outputs.overlay:
        from ..io.overlay import write_overlay

        write_overlay(outputs.overlay, grey_u8, segments, axis=result.axis, **overlay_grid(volume))
        say(f"wrote {outputs.overlay}")
    if outputs.report:
        from ..io.report import write_report

        write_report(outputs.report, report)
        say(f"wrote {outputs.report}")


class OverlayGrid(TypedDict, total=False):
    geometry: VolumeGeometry
    spacing_zyx: tuple[float, float, float]


def overlay_grid(volume: Volume) -> OverlayGrid:
    """Return the grid that orients a picture: the patient's where the axes lie in one, else the array's own."""
    if volume.has_patient_axes:
        return {"geometry": volume.geometry}
    return {"spacing_zyx": volume.spacing_zyx}


def input_files(images: Sequence[str], prompts: Sequence[PromptOption], weights: str | None) -> tuple[Path, ...]:
    """Return all that a run reads: the images, prompts and weights, with what belongs to each."""
    files = [file for image in images for file in image_and_companions(image)]
    for option, file in files_of_prompts(prompts):
        files.extend((Path(file),) if option == "--roi" else segmentation_and_companions(file))
    return (*files, Path(weights)) if weights else tuple(files)


def _marked(path: str, suffix: str, mark: str) -> str:
    if "{name}" in path:
        return path.replace("{name}", mark)
    place = Path(path)
    stem, kept = place.name[: -len(suffix)], place.name[-len(suffix) :]
    return str(place.with_name(f"{stem}_{mark}{kept}"))
