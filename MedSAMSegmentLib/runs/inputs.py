"""The inputs of a run: the image or its frames, the objects, the range; all checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, PromptError, UsageError
from ..geometry import VolumeGeometry
from ..io.read_volume import read_volume
from ..io.volume import Volume
from ..io.write_segmentation import parse_terminologies
from ..prompts import Box, Prompt, Shape3
from .options import RunOptions
from .prompt_options import array_axis, objects_from_options, reversed_boxes

if TYPE_CHECKING:
    from ..inference.plan import ObjectPlan

EVERY_FRAME = "all"

OPEN_ENDED_SLICES = 16
"""A guess, for the choice of an engine, where nothing says how far an object goes."""

KEY_VIEWS = 3
"""Ways in which a key slice is encoded, at most; other slices are once."""


@dataclass(frozen=True, eq=False)
class RunInputs:
    """`volumes` is the image, or with `--frame all` one volume a frame; the prompts hold for each of them.

    `notes` are sentences on what was chosen, repaired or cut. `expected_slices` is about how many are to be encoded.
    """

    volumes: Sequence[Volume]
    objects: Sequence[Sequence[Prompt]]
    names: Sequence[str]
    axis: int
    slice_range: tuple[int, int] | None
    notes: tuple[str, ...]
    expected_slices: int

    @property
    def every_frame(self) -> bool:
        return len(self.volumes) > 1


def read_inputs(options: RunOptions) -> RunInputs:
    """Read the image and the prompts. Raises `UsageError`, `InputError`, `PromptError` for what cannot end well."""
    from ..inference.plan import check_range

    volumes = _volumes(options)
    volume = volumes[0]
    axis = array_axis(options.axis)
    slice_range = (options.range[0], options.range[1]) if options.range else None
    if slice_range is not None:
        check_range(slice_range, volume.shape_zyx[axis])
    objects = _objects(options, volume, axis)
    names = _names(options.name, len(objects))
    parse_terminologies(options.terminology, len(objects))
    notes = (*volume.notes, *reversed_boxes(options.prompts), *_cut(objects, names, volume.shape_zyx))
    plans = _checked_plans(options, volume, objects, axis, slice_range)
    return RunInputs(volumes, objects, names, axis, slice_range, notes, len(volumes) * _expected_slices(plans))


def _volumes(options: RunOptions) -> list[Volume]:
    """Return the image, of which k counts the frames where they are to be followed; else the frames of a 4D file asked
    for."""
    # The official scripts sort frames by name as text, but for EfficientTAM's copy.
    text_order = options.mode == "reference" and "efficient" not in (options.model or "")
    volume = read_volume(options.image, series=options.series, spacing=options.spacing, text_order=text_order)
    if options.axis == "time":
        if options.frame == EVERY_FRAME:
            raise UsageError("--axis time follows the prompts of one frame.", "Give that frame's number to --frame.")
        return [_frames_along_k(volume, options.image)]
    if options.frame is None:
        return [volume if volume.frames_tzyx is None else _first_frame(volume)]
    if not volume.is_time_series:
        raise UsageError("--frame needs an image with a time axis.", "Leave it out.")
    if options.frame == EVERY_FRAME:
        if volume.frames_tzyx is None:
            raise UsageError("Each frame of this image is a single slice.", "Follow the prompts with --axis time.")
        return [volume.frame(index) for index in range(volume.frame_count)]
    return [volume if volume.frames_tzyx is None else volume.frame(options.frame)]


def _first_frame(volume: Volume) -> Volume:
    said = "Frame 0 alone is segmented; --frame N takes another one, --frame all each by itself."
    return replace(volume.frame(0), notes=(*volume.notes, said))


def _frames_along_k(volume: Volume, name: str) -> Volume:
    """Return a volume whose k counts the frames: also that of a 4D file of single slices.

    Where the file does not say what k is, the option is believed, and said.
    """
    frames = volume.frames_tzyx
    if frames is None:
        if volume.shape_zyx[0] == 1:
            raise InputError(f"{name} is a single image, without a time axis.", "Leave --axis out.")
        if volume.time_axis:
            return volume
        said = f"The {volume.shape_zyx[0]} slices along k were taken for frames in time, which the file does not say."
        return replace(volume, time_axis=True, notes=(*volume.notes, said))
    if frames.shape[1] != 1:
        raise InputError(
            f"Each frame has {frames.shape[1]} slices; propagation through time needs one.",
            "Run each frame by itself, with --axis k --frame N, or all of them with --axis k --frame all.",
        )
    array = frames[:, 0]
    geometry = VolumeGeometry(array.shape[:3], volume.geometry.ijk_to_lps)
    return replace(volume, array_zyx=array, geometry=geometry, frames_tzyx=None, time_axis=True, nifti_forms=None)


def _objects(options: RunOptions, volume: Volume, axis: int) -> list[list[Prompt]]:
    frame = options.frame if volume.time_axis else None
    objects = objects_from_options(
        options.prompts,
        volume,
        axis,
        frame=frame,
        line_as=options.line_as,
        mode=options.mode,
        space=options.space,
    )
    if not objects and Path(options.image).suffix.lower() == ".npz":
        from ..io.challenge_npz import read_challenge_npz

        objects = [[box] for box in read_challenge_npz(options.image).boxes]
    if not objects:
        raise PromptError("There is no prompt.", "Give --box, --line, --point, --mask or --roi.")
    for prompt in chain.from_iterable(objects):
        prompt.fitted(volume.shape_zyx)
    return objects


def _cut(objects: Sequence[Sequence[Prompt]], names: Sequence[str], shape_zyx: Shape3) -> list[str]:
    """Return a sentence on each box that reaches beyond the image."""
    notes = []
    for name, prompts in zip(names, objects, strict=True):
        for box in (prompt for prompt in prompts if isinstance(prompt, Box)):
            kept = box.fitted(shape_zyx)
            if kept != box:
                bounds = ", ".join(f"{axis} {first} to {last}" for axis, (first, last) in vars(kept).items())
                notes.append(f"The box of {name} reaches beyond the image and was cut to {bounds}.")
    return notes


def _names(given: Sequence[str], count: int) -> list[str]:
    if len(given) > count:
        raise UsageError(f"There are {len(given)} names for {count} objects.", "Give at most one name an object.")
    # What the terminal gave as bytes of no known alphabet could not be written to any file.
    readable = [name.encode("utf-8", "replace").decode() for name in given]
    return readable + [f"Segment_{number + 1}" for number in range(len(given), count)]


def _checked_plans(
    options: RunOptions,
    volume: Volume,
    objects: Sequence[Sequence[Prompt]],
    axis: int,
    slice_range: tuple[int, int] | None,
) -> list[ObjectPlan]:
    """Plan the run. Refuses an unknown strategy, or prompts and a range that do not fit."""
    from ..inference.plan import PlanSettings, plan_objects
    from ..inference.strategies import make_strategy

    if options.strategy is not None:
        make_strategy(options.strategy)
    reference = options.mode == "reference"
    settings = PlanSettings(volume.geometry, axis, slice_range, reference=reference, direction=options.direction)
    return plan_objects(objects, settings)


def _expected_slices(plans: Sequence[ObjectPlan]) -> int:
    """Return about how many slices a run encodes, those that are encoded in several views as often."""
    bounded = [range(plan.first, plan.last + 1) for plan in plans if not plan.open_ended]
    unbounded = [min(plan.last - plan.first + 1, OPEN_ENDED_SLICES) for plan in plans if plan.open_ended]
    keys = sum(len(plan.keys) for plan in plans)
    return len(set(chain.from_iterable(bounded))) + sum(unbounded) + (KEY_VIEWS - 1) * keys
