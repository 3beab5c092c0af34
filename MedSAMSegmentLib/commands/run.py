"""`medsam-segment run IMAGE`: prompts in, masks, picture and report out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..intensity import parse_window
from ..io.volume import Volume
from ..runs.inputs import RunInputs, read_inputs
from ..runs.options import RunOptions
from ..runs.outputs import Outputs, input_files, write_outputs
from ..runs.report import input_facts, reading_note, run_report
from ..runs.segmenting import open_image, segment
from .opening import load_model
from .overwriting import check_all
from .progress import say, slice_bar

if TYPE_CHECKING:
    from ..inference.session import VolumeSession
    from ..inference.slice_predictor import SlicePredictor
    from ..results import ObjectResult, Segmentation3D


def run(options: argparse.Namespace) -> None:
    outputs = asked_outputs(options)
    parse_window(options.window)
    images = [RunOptions.of(vars(options), image=image) for image in options.image]
    # One is read once; of several nothing is computed before each is known to be right.
    first = read_inputs(images[0])
    several = len(images) > 1
    jobs = [_outputs_of(image, outputs, None if n else first, several=several) for n, image in enumerate(images)]
    agreed = iter(check_all([one for job in jobs for one in job], overwrite=options.overwrite))
    jobs = [[next(agreed) for _ in job] for job in jobs]
    predictor = None
    for image, job in zip(images, jobs, strict=True):
        inputs = first if image is images[0] else read_inputs(image)
        for note in inputs.notes:
            say(note, options.quiet)
        # Taken before anything is written: that may lie in the folder that was read.
        facts = input_facts(inputs.volumes[0], image, inputs.notes) if job[0].report else {}
        predictor = predictor or load_model(options, len(images) * inputs.expected_slices)
        for frame, volume in enumerate(inputs.volumes):
            label = f"frame {frame}" if inputs.every_frame else ""
            named = {**facts, "frame": frame} if inputs.every_frame else facts
            _segment(
                predictor, inputs, volume, job[frame], options=image, label=label, facts=named, quiet=options.quiet
            )


def asked_outputs(options: argparse.Namespace) -> Outputs:
    """Return the outputs that the options ask for. Raises `UsageError`, `OutputError` for what cannot be written."""
    inputs = input_files(options.image, options.prompts, options.weights)
    kind = options.dicom_type or "seg"
    outputs = Outputs(options.output, options.overlay, options.report, inputs, dicom_type=kind)
    if not any((options.output, options.overlay, options.report)):
        raise UsageError("There is nothing to write.", "Give -o FILE, --overlay FILE.png or --report FILE.json.")
    if options.dicom_type and not outputs.is_dicom:
        raise UsageError("--dicom-type is the kind of a DICOM output.", "Give -o FILE.dcm, or leave it out.")
    outputs.check()
    return outputs


def _outputs_of(image: RunOptions, outputs: Outputs, inputs: RunInputs | None, *, several: bool) -> list[Outputs]:
    """Return the outputs of one image, one a frame. Raises for an image, prompts or outputs that are wrong."""
    inputs = inputs or read_inputs(image)
    own = outputs.of_image(image.image) if several or outputs.has_placeholder else outputs
    count = len(inputs.volumes)
    frames = [own.of_frame(n, count) for n in range(count)] if inputs.every_frame else [own]
    for one, volume in zip(frames, inputs.volumes, strict=True):
        one.check_volume(volume)
    return frames


def _segment(
    predictor: SlicePredictor,
    inputs: RunInputs,
    volume: Volume,
    outputs: Outputs,
    *,
    options: RunOptions,
    label: str,
    facts: Mapping[str, Any],
    quiet: bool,
) -> None:
    """Segment one volume: the image, or one frame of it."""
    tell = partial(say, quiet=quiet)
    session = open_image(predictor, volume, options, inputs.objects, tell)
    named = f"{options.image}, {label}" if label else options.image
    tell(f"{named}: {session.volume.description}; {session.model_id} on {session.device}")
    with session, slice_bar(label or "segment", quiet) as progress:
        result = segment(session, inputs, options, progress)
    report = run_report(volume, session, inputs.objects, result, options.reading) if outputs.report else {}
    write_outputs(
        outputs,
        volume,
        result,
        grey_u8=session.volume.volume_u8,
        terminology=options.terminology,
        algorithm=session.model_id,
        report={**facts, **report},
        say=tell,
    )
    _summarise(result, volume, session, options.reading, quiet)


def _summarise(result: Segmentation3D, volume: Volume, session: VolumeSession, reading: int, quiet: bool) -> None:
    blank = blank_slices(session.volume.volume_u8, result.axis)
    if len(blank) == result.shape_zyx[result.axis]:
        say("warning: every slice is of one grey level in this window; there is nothing to see.", quiet)
    for item in result.objects:
        say(_summary(item, volume), quiet)
        made = sorted(set(volume.filled) & set(item.slices)) if result.axis == 0 else []
        if made:
            say(f"warning: no image, but made from their neighbours: slices {', '.join(map(str, made))}", quiet)
        note = reading_note(item, reading)
        if note:
            say(f"{item.name}: {note}", quiet)
        unseen = sorted(blank & set(item.slices))
        if unseen and len(blank) < result.shape_zyx[result.axis]:
            say(f"warning: slices without an image (one grey level): {', '.join(map(str, unseen))}", quiet)


def blank_slices(volume_u8: NDArray[np.uint8], axis: int) -> set[int]:
    """Return the slices across `axis` on which all pixels are the same."""
    slices = np.moveaxis(volume_u8, axis, 0)
    flat = slices.reshape(len(slices), -1, *volume_u8.shape[3:])
    return {index for index, pixels in enumerate(flat) if (pixels == pixels[0]).all()}


def _summary(item: ObjectResult, volume: Volume) -> str:
    mask = item.mask
    millilitres = float(mask.sum()) * volume.geometry.voxel_volume_ml
    size = f"{millilitres:.2f} mL" if all(volume.spacing_known_zyx) else "no mL without spacing"
    look = f"; look at slices {', '.join(map(str, item.flagged))}" if item.flagged else ""
    return f"{item.name}: {int(mask.sum())} voxels, {size}, {item.assessment}{look}"
