"""`medsam-segment run IMAGE`: prompts in, masks, picture and report out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ..errors import InputError, PromptError, UsageError
from ..geometry import VolumeGeometry
from ..intensity import parse_window
from ..io.read_volume import read_volume
from ..io.volume import Volume
from ..io.write_segmentation import (
    SEGMENTATION_SUFFIXES,
    check_output_grid,
    check_output_path,
    parse_terminologies,
    segments_from,
    write_segmentation,
)
from .opening import open_image
from .progress import say, slice_bar
from .prompt_options import array_axis, objects_from_options, prompt_files

if TYPE_CHECKING:
    from ..inference.session import VolumeSession
    from ..inference.strategies.base import StopRule
    from ..prompts import Prompt
    from ..results import ObjectResult, Segmentation3D


def run(options: argparse.Namespace) -> None:
    _check_outputs(options)
    parse_window(options.window)
    volume = _volume(options)
    if options.output:
        check_output_grid(options.output, volume.geometry)
    for note in volume.notes:
        say(note, options.quiet)
    axis = array_axis(options.axis)
    objects = _objects(options, volume, axis)
    names = _names(options.name, len(objects))
    parse_terminologies(options.terminology, len(objects))
    _check_plan(options, volume, objects, axis)
    session = open_image(volume, options)
    say(f"{options.image}: {session.volume.description}; {session.model_id} on {session.device}", options.quiet)
    with session, slice_bar("segment", options.quiet) as progress:
        result = session.propagate(
            objects,
            axis=axis,
            slice_range=tuple(options.range) if options.range else None,
            direction=options.direction,
            strategy=options.strategy,
            stop=_stop_rule(options.stop),
            names=names,
            on_progress=progress,
        )
    _post_process(result, options)
    write_outputs(options, volume, session, objects, result)
    for item in result.objects:
        say(_summary(item, volume), options.quiet)


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse what could not be written, or would replace an input, before the work starts."""
    wanted = (
        (options.output, SEGMENTATION_SUFFIXES),
        (options.overlay, (".png",)),
        (options.report, (".json",)),
    )
    if not any(path for path, _ in wanted):
        raise UsageError("There is nothing to write.", "Give -o FILE, --overlay FILE.png or --report FILE.json.")
    inputs = [options.image, *prompt_files(options.prompts)]
    for path, suffixes in wanted:
        if path:
            check_output_path(path, suffixes, inputs)


def _check_plan(options: argparse.Namespace, volume: Volume, objects: Sequence[Sequence[Prompt]], axis: int) -> None:
    """Refuse an unknown strategy, or prompts and a range that do not fit, before the model is loaded."""
    from ..inference.plan import PlanSettings, plan_objects
    from ..inference.strategies import make_strategy

    if options.strategy is not None:
        make_strategy(options.strategy)
    plan_objects(objects, PlanSettings(volume.geometry, axis, tuple(options.range) if options.range else None))


def _volume(options: argparse.Namespace) -> Volume:
    """The image, of which k counts the frames where they are to be followed; else the one frame of a 4D file."""
    volume = read_volume(options.image)
    if options.axis == "time":
        if not volume.is_time_series:
            raise InputError(f"{options.image} has no time axis.", "Use --axis k, j or i.")
        return _frames_along_k(volume)
    if options.frame is None:
        return volume if volume.frames_tzyx is None else volume.frame(0)
    if not volume.is_time_series:
        raise UsageError("--frame needs an image with a time axis.", "Leave it out.")
    return volume if volume.frames_tzyx is None else volume.frame(options.frame)


def _frames_along_k(volume: Volume) -> Volume:
    """A 4D file of single slices as one volume whose k counts the frames."""
    frames = volume.frames_tzyx
    if frames is None:
        return volume
    if frames.shape[1] != 1:
        raise InputError(
            f"Each frame has {frames.shape[1]} slices; propagation through time needs one.",
            "Run each frame by itself, with --axis k --frame N.",
        )
    array = frames[:, 0]
    return replace(
        volume,
        array_zyx=array,
        geometry=VolumeGeometry(array.shape[:3], volume.geometry.ijk_to_lps),
        frames_tzyx=None,
        time_axis=True,
    )


def _objects(options: argparse.Namespace, volume: Volume, axis: int) -> list[list[Prompt]]:
    frame = options.frame if volume.time_axis else None
    objects = objects_from_options(options.prompts, volume, axis, frame)
    if not objects and Path(options.image).suffix == ".npz":
        from ..io.challenge_npz import read_challenge_npz

        objects = [[box] for box in read_challenge_npz(options.image).boxes]
    if not objects:
        raise PromptError("There is no prompt.", "Give --box, --line, --point, --mask or --roi.")
    for prompt in chain.from_iterable(objects):
        # Said now: the model would be fetched and loaded first.
        prompt.fitted(volume.shape_zyx)
    return objects


def _names(given: Sequence[str], count: int) -> list[str]:
    if len(given) > count:
        raise UsageError(f"There are {len(given)} names for {count} objects.", "Give at most one name an object.")
    return list(given) + [f"Segment_{number + 1}" for number in range(len(given), count)]


def _stop_rule(wanted: bool) -> StopRule | None:
    if not wanted:
        return None
    from ..inference.strategies.base import StopRule

    return StopRule()


def _post_process(result: Segmentation3D, options: argparse.Namespace) -> None:
    if options.largest_component or options.fill_holes:
        from ..inference.post_processing import clean_up

        clean_up(result, largest_component=options.largest_component, fill_holes=options.fill_holes)


def write_outputs(
    options: argparse.Namespace,
    volume: Volume,
    session: VolumeSession,
    objects: Sequence[Sequence[Prompt]],
    result: Segmentation3D,
) -> None:
    """The files that were asked for: segmentation, picture, report."""
    segments = segments_from(
        [item.name for item in result.objects],
        [item.mask for item in result.objects],
        terminologies=options.terminology,
    )
    if options.output:
        write_segmentation(options.output, segments, volume.geometry)
        say(f"wrote {options.output}", options.quiet)
    if options.overlay:
        from ..io.overlay import write_overlay

        write_overlay(
            options.overlay,
            session.volume.volume_u8,
            segments,
            axis=result.axis,
            **placement(volume),
        )
        say(f"wrote {options.overlay}", options.quiet)
    if options.report:
        from ..io.report import write_report
        from .run_report import run_report

        write_report(options.report, run_report(volume, session, objects, result))
        say(f"wrote {options.report}", options.quiet)


class Placement(TypedDict, total=False):
    geometry: VolumeGeometry
    spacing_zyx: tuple[float, float, float]


def placement(volume: Volume) -> Placement:
    """How a picture is to be hung: as radiologists do where the axes lie in the patient, else as the array has it."""
    if volume.has_patient_axes:
        return {"geometry": volume.geometry}
    return {"spacing_zyx": volume.spacing_zyx}


def _summary(item: ObjectResult, volume: Volume) -> str:
    mask = item.mask
    millilitres = float(mask.sum()) * volume.geometry.voxel_volume_ml
    look = f"; look at slices {', '.join(map(str, item.flagged))}" if item.flagged else ""
    return f"{item.name}: {int(mask.sum())} voxels, {millilitres:.2f} mL{look}"
