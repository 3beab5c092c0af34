"""The files of a run that clients fetch, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..io.dicom_output import DicomOutput, require_dicom_writer
from ..io.nifti_image import write_nifti_image
from ..io.report import to_json_types
from ..io.result_facts import object_facts, prompt_facts
from ..io.volume import Volume
from ..io.write_segmentation import check_output_grid, segments_from, write_segmentation
from ..results import Segmentation3D
from ..version import __version__
from .problems import ServiceProblem
from .runs import Run
from .service import Service
from .sessions import ImageSession

MEDIA_TYPES = {
    "seg.nrrd": "application/octet-stream",
    "nii.gz": "application/gzip",
    "npz": "application/zip",
    "dcm": "application/dicom",
    "rtstruct": "application/dicom",
}
DICOM_KINDS = {"dcm": "seg", "rtstruct": "rtstruct"}
"""Formats that refer to the image's own DICOM files, as `DicomOutput` calls them."""


def result_suffix(kind: str) -> str:
    """Return the suffix of a result's file, without its first dot."""
    return "rtstruct.dcm" if kind == "rtstruct" else kind


def result_file(run: Run, kind: str) -> Path:
    """Return the file of a finished run's masks, written at the first request.

    Raises `ServiceProblem`: 409 while the run is not done, 415 for a format that is not made of such an image;
    `OutputError` for one that cannot hold the grid or the masks.
    """
    volume = run.session.volume
    dicom = dicom_output(volume, kind, run.setup.model) if kind in DICOM_KINDS else None
    result = _result(run)
    path = run.session.folder / f"{run.id}.{result_suffix(kind)}"
    with run.writing:
        if not path.is_file():
            check_output_grid(path, volume.geometry, volume.nifti_forms, dicom)
            segments = segments_from(
                [item.name for item in result.objects],
                [item.mask for item in result.objects],
                terminologies=run.order.terminologies,
            )
            write_segmentation(path, segments, volume.geometry, volume.nifti_forms, dicom)
    return path


def dicom_output(volume: Volume, kind: str, model: str) -> DicomOutput:
    """Return what a DICOM result needs besides masks. Raises `ServiceProblem` (415) where it is not made."""
    others = f"Ask for {', '.join(name for name in MEDIA_TYPES if name not in DICOM_KINDS)}."
    if not volume.slice_sources:
        raise ServiceProblem(
            "DICOM results are made for images that were sent as DICOM.", others, status=415, code="result-kind"
        )
    try:
        require_dicom_writer(DICOM_KINDS[kind])
    except UsageError as error:
        raise ServiceProblem(
            "This server lacks the package that writes DICOM SEG.",
            f"Whoever runs it can install highdicom; rtstruct is written without. {others}",
            status=415,
            code="result-kind",
        ) from error
    return DicomOutput.of(volume, DICOM_KINDS[kind], model)


def image_file(session: ImageSession) -> Path:
    """Return the image as NIfTI on its own grid, written at the first request. Raises `OutputError`."""
    path = session.folder / "image.nii.gz"
    with session.writing:
        if not path.is_file():
            write_nifti_image(path, session.volume.array_zyx, session.volume.geometry)
    return path


def run_report(run: Run, service: Service) -> dict[str, Any]:
    """Return what went in, what computed it, what came out. Raises `ServiceProblem` while the run is not done."""
    result = _result(run)
    record = None
    for entry in service.models():
        if entry.id == run.setup.model:
            record = service.checkpoints.record(entry)
    volume, order = run.session.volume, run.order
    report = {
        "input": {
            "sha256": run.session.sha256,
            "kind": volume.kind,
            "modality": volume.modality,
            "notes": list(volume.notes),
            "spacing_known_ijk": list(reversed(volume.spacing_known_zyx)),
            "filled_slices": list(volume.filled),
        },
        "options": {
            "slice_range": order.slice_range,
            "direction": order.direction,
            "stop": order.stop,
            "strategy": order.strategy,
            "reading": order.reading,
        },
        "model": {"id": run.setup.model, "weights_sha256": record.sha256 if record is not None else None},
        "window": result.window,
        "strategy": result.strategy,
        "axis": result.axis,
        "device": result.device,
        "versions": {"MedSAMSegmentLib": __version__},
        "seconds": round(result.seconds, 3),
        "encodes": result.encodes,
        "predictions": result.predictions,
        "objects": [
            {"prompts": [prompt_facts(prompt) for prompt in prompts], **object_facts(item, volume)}
            for prompts, item in zip(order.objects, result.objects, strict=True)
        ],
    }
    facts: dict[str, Any] = to_json_types(report)
    return facts


def _result(run: Run) -> Segmentation3D:
    if run.result is None:
        raise ServiceProblem(
            f"The run is {run.state}.",
            "Wait for its end." if not run.over else "Start another run.",
            status=409,
            code="not-done",
        )
    return run.result
