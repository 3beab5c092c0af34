"""From a model's name and an array to a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..geometry import VolumeGeometry
from ..intensity import WindowChoice, WindowedVolume, to_uint8
from ..registry import DEFAULT_MODEL, ModelEntry, get
from .session import VolumeSession

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoints.store import CheckpointStore
    from .slice_predictor import SlicePredictor

MODES = ("default", "reference")
DEFAULT_CACHE_BYTES = 400 * 2**20
"""About a hundred slices with LiteMedSAM; with it a volume of 512 x 512 x 300 stays below 1.5 GB."""


def open_session(
    model: str | SlicePredictor | None,
    volume_zyx: NDArray | WindowedVolume,
    spacing_zyx: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    geometry: VolumeGeometry | None = None,
    window: WindowChoice = "auto",
    modality: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    weights: str | Path | None = None,
    mode: str = "default",
    download: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    store: CheckpointStore | None = None,
    time_series: bool = False,
    keep_speckle: bool = False,
) -> VolumeSession:
    """Open a volume (z,y,x) or (z,y,x,3) with a model. One that is windowed already is taken as it is.

    `model` is an id of the registry, or a predictor of `load_predictor` to share one loaded model between volumes.
    `geometry` replaces `spacing_zyx` (mm) when the grid is oblique. `window` is a preset, "auto", "LEVEL/WIDTH" or
    (lo, hi). `weights` names a checkpoint file of the user's; with `model` None its model is recognised. Nothing is
    downloaded unless `download` is true. `mode` "reference" repeats the official scripts exactly. `time_series`: k
    counts frames in time, which are followed as a video. With `keep_speckle`
    small parts beside the largest of a slice stay. Raises `InputError`, `ModelError`, `UsageError`.
    """
    if mode not in MODES:
        raise UsageError(f"The mode {mode!r} is not known.", f"Use one of {', '.join(MODES)}.")
    array = volume_zyx.volume_u8 if isinstance(volume_zyx, WindowedVolume) else np.asarray(volume_zyx)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3):
        raise InputError(f"The array has the shape {array.shape}.", "Give z,y,x, or z,y,x,3 for colour.")
    grid = geometry or VolumeGeometry.from_spacing(array.shape[:3], spacing_zyx)
    if grid.shape_zyx != array.shape[:3]:
        raise InputError(f"The geometry is for {grid.shape_zyx}, the array has {array.shape[:3]}.")
    if isinstance(volume_zyx, WindowedVolume):
        windowed = volume_zyx
    else:
        windowed = to_uint8(array, window, modality=modality, reference=mode == "reference")
    if model is None or isinstance(model, str):
        engine, precision = options_for_mode(mode, engine, precision)
        model = load_predictor(
            model,
            weights=weights,
            device=device,
            precision=precision,
            engine=engine,
            download=download,
            store=store,
        )
    if mode == "reference":
        model = model.with_torch()
    return VolumeSession(
        model,
        windowed,
        grid,
        device=model.title,
        cache_bytes=cache_bytes,
        reference=mode == "reference",
        time_series=time_series,
        keep_speckle=keep_speckle,
    )


def options_for_mode(mode: str, engine: str, precision: str) -> tuple[str, str]:
    """Return the engine and precision to load a model with: "reference" is torch in float32, whatever else was asked
    for."""
    return ("torch", "float32") if mode == "reference" else (engine, precision)


def load_predictor(
    model_id: str | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    download: bool = False,
    store: CheckpointStore | None = None,
    slices: int | None = None,
) -> SlicePredictor:
    """Build a model and load its weights onto a device. Raises `ModelError`, `UsageError`.

    Without `model_id` the model is the one that the file `weights` belongs to, told by its keys and shapes, or else
    LiteMedSAM.
    `precision` is "float32", "bfloat16" or "auto".
    `engine` runs the network's costly parts: "torch", "openvino", or "auto" for the faster one on this machine. What it
    derives from the weights is kept in the user's own cache. Where the model is for about so many `slices` alone,
    "auto" is what is done with them first, from now on.
    """
    from ..checkpoints.store import CheckpointStore
    from ..checkpoints.weights import load_weights
    from ..models.builders import build
    from .device import resolve_device
    from .engines.base import EngineFiles
    from .engines.choose import Encoder, choose_engine
    from .slice_networks import slice_network
    from .slice_predictor import SlicePredictor

    choice = resolve_device(device, precision)
    found = _read_weights(model_id, weights, download, store)
    entry = found.entry
    module = build(entry.builder, **entry.builder_options)
    load_weights(module, found.state_dict, entry)
    module = module.to(choice.device).eval()
    files = EngineFiles(entry, _sha256(found.path, entry, store), (store or CheckpointStore()).derived_folder)
    chosen = choose_engine(
        Encoder(slice_network(module), module, choice, files),
        engine,
        # In bfloat16 the published weights are known to keep the masks; of others nothing is known.
        free_precision=precision == "auto" and files.weights_sha256 == entry.sha256,
        slices=slices,
    )
    choice = replace(choice, reason=f"{choice.reason}; {chosen.engine.name}: {chosen.reason}")
    return SlicePredictor(
        module,
        entry,
        choice,
        weights_sha256=files.weights_sha256,
        weights_note=found.note,
        engine=chosen.engine,
    )


@dataclass(frozen=True)
class _Weights:
    entry: ModelEntry
    path: Path
    state_dict: Mapping[str, Tensor]
    note: str = ""


def _read_weights(
    model_id: str | None, weights: str | Path | None, download: bool, store: CheckpointStore | None
) -> _Weights:
    from ..checkpoints.store import CheckpointStore
    from ..checkpoints.weights import load_state_dict

    if weights is not None and model_id is None:
        return _recognised(Path(weights))
    entry = get(model_id or DEFAULT_MODEL)
    if weights is not None:
        path = Path(weights)
    else:
        folder = store or CheckpointStore()
        path = folder.pull(entry) if download else folder.require(entry)
    return _Weights(entry, path, load_state_dict(path, entry))


def _recognised(path: Path) -> _Weights:
    """Return the model of a file that the user did not name, and what led to the choice."""
    from ..checkpoints.weights import load_state_dict, recognise_file

    state_dict = load_state_dict(path)
    recognition = recognise_file(path, state_dict)
    note = f"{path.name} was taken for {recognition.entry.title}, by {recognition.reason}."
    if recognition.others:
        note += f" Name another model ({', '.join(other.id for other in recognition.others)}) if that is wrong."
    return _Weights(recognition.entry, path, state_dict, note)


def _sha256(path: Path, entry: ModelEntry, store: CheckpointStore | None) -> str:
    """Return the hash of the weights: from the store's record where there is one, else of the file itself."""
    from ..checkpoints.store import CheckpointStore
    from ..checkpoints.transfer import digest_file

    folder = store or CheckpointStore()
    record = folder.record(entry) if path == folder.path(entry) else None
    return record.sha256 if record is not None else digest_file(path).sha256
