"""From a model and an image to a segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..auto_window import window_of_objects
from ..io.volume import Volume
from ..prompts import Prompt
from ..registry import DEFAULT_MODEL
from .inputs import RunInputs
from .options import RunOptions, Say

if TYPE_CHECKING:
    from ..inference.session import VolumeSession
    from ..inference.slice_predictor import SlicePredictor
    from ..results import Progress, Segmentation3D


def named_weights(model: str | None, weights: str | None) -> tuple[str | None, str | None]:
    """Return the model of the registry and the file of weights that options name; a model of None is told by its file.

    Raises `ModelError` for a model of the user's that is not there.
    """
    from ..checkpoints.custom_models import CustomModels, is_custom

    model_id = model or (None if weights else DEFAULT_MODEL)
    if model_id and is_custom(model_id):
        own = CustomModels().get(model_id)
        return own.network, weights or str(CustomModels().require(own))
    return model_id, weights


def open_image(
    predictor: SlicePredictor, volume: Volume, options: RunOptions, objects: Sequence[Sequence[Prompt]], say: Say
) -> VolumeSession:
    """Return a session on a volume that was read; what was outlined has a say in an automatic window."""
    from ..inference.open import open_session

    return open_session(
        predictor,
        volume.array_zyx,
        geometry=volume.geometry,
        window=window_for(options, volume, objects, say),
        modality=volume.modality,
        mode=options.mode,
        time_series=volume.time_axis,
        keep_speckle=options.keep_speckle,
    )


def window_for(options: RunOptions, volume: Volume, objects: Sequence[Sequence[Prompt]], say: Say) -> str:
    """Return the window asked for; "auto" is that of lung, bone or brain where all objects are, which is said if not.

    Official scripts know no such choice.
    """
    if options.window != "auto" or options.mode == "reference":
        return str(options.window)
    window, asked = window_of_objects(volume.array_zyx, volume.modality, objects)
    if asked:
        say(
            f"note: the objects ask for different windows ({', '.join(asked)}) and share that of the whole image; "
            "run them apart, or choose one with --window."
        )
    return window


def segment(
    session: VolumeSession,
    inputs: RunInputs,
    options: RunOptions,
    on_progress: Callable[[Progress], None] | None = None,
) -> Segmentation3D:
    """Segment the objects on an open image, cleaned up as the options ask."""
    from ..inference.post_processing import clean_up
    from ..propagation import StopRule

    result = session.propagate(
        inputs.objects,
        axis=inputs.axis,
        slice_range=inputs.slice_range,
        direction=options.direction,
        strategy=options.strategy,
        stop=StopRule() if options.stop else None,
        names=inputs.names,
        reading=options.reading,
        on_progress=on_progress,
    )
    if options.largest_component or options.fill_holes:
        clean_up(result, largest_component=options.largest_component, fill_holes=options.fill_holes)
    return result
