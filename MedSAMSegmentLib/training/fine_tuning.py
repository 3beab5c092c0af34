"""From images with segments to a model of the user's own: the one function that does it all."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cancellation import CancelCheck, never_cancel, raise_if_cancelled
from ..checkpoints.custom_models import CustomModels
from ..checkpoints.store import CheckpointStore
from ..checkpoints.transfer import digest_file
from ..errors import InputError, MedSAMError, UsageError
from ..inference.open import load_predictor
from ..inference.slice_predictor import SlicePredictor
from ..io.atomic import atomic_writes
from ..io.output_files import check_against_inputs
from ..io.write_segmentation import check_output_place
from ..models.sam import Sam
from ..results import Progress
from ..version import __version__
from ..worker.memory import peak_memory_mb
from .base_model import BaseModel, find_base
from .curves import draw_curves, write_table
from .network import TrainableSam, swapped
from .scores import Scores, score
from .settings import TrainingSettings
from .sources import TrainingSource, find_sources, hash_files, read_labelled, require_label
from .split import Split, given_split, split_by_patient
from .state import TrainingState
from .store import ViewStore, fill_store
from .trainer import Trainer
from .views import (
    LEAST_PIXELS,
    MOST_SLICES,
    PLAIN_VIEWS,
    VIEWS,
    SliceView,
    network_target,
    slice_views,
    thin_out,
    useful_slices,
)
from .work_folder import WorkFolder

CARD, TABLE, PICTURE = ".card.json", ".curves.csv", ".curves.png"
OUTPUT_SUFFIX = ".safetensors"
VALIDATION_PART = 3
"""The part of the slices that validation may take, as a divisor: it is scored again and again."""

_STORE_FORMAT = 1

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingRequest:
    """`data` and `validation` are a manifest or a folder; without `validation` a part of the patients is kept for it.

    `labels` are the names of the segments that make up the object. `output` is the file of the weights; what belongs
    to it lies beside.
    """

    data: Path
    labels: tuple[str, ...]
    output: Path
    model: str = "lite_medsam"
    validation: Path | None = None
    val_fraction: float = 0.2
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    most_slices: int = MOST_SLICES
    device: str = "auto"
    engine: str = "auto"
    resume: bool = False
    overwrite: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the training writes: weights, card, table and picture."""
        stem = self.output.name.removesuffix(OUTPUT_SUFFIX)
        return (self.output, *(self.output.with_name(stem + suffix) for suffix in (CARD, TABLE, PICTURE)))


@dataclass(frozen=True)
class FineTuned:
    """`model_id` is the name in the model folder, "" where the file could not be put there; `card` is what is known."""

    output: Path
    model_id: str
    card: Mapping[str, Any]


def fine_tune(
    request: TrainingRequest,
    *,
    say: Say = lambda text: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_step: Callable[[TrainingState], None] = lambda state: None,
    cancel: CancelCheck = never_cancel,
    store: CheckpointStore | None = None,
) -> FineTuned:
    """Train, write the weights with their card, and put them into the model folder as a model of the user's own.

    Raises `UsageError`, `InputError`, `ModelError`, and `Cancelled` with what was computed kept for a call that
    resumes.
    """
    started = time.monotonic()
    store = store or CheckpointStore()
    check_request(request)
    training, validation = _sources(request, say)
    for label in request.labels:
        require_label((*training, *validation), label)
    base = find_base(request.model, store)
    folder = WorkFolder.beside(request.output)
    with folder.held(resume=request.resume, overwrite=request.overwrite):
        chosen = _choose(request, training, validation, say, cancel)
        if not chosen.split.is_validated:
            say(f"not validated: {chosen.split.reason}, so nothing is known of how the model does on others")
        done = _train(_Training(request, base, chosen, folder, store, started), say, on_progress, on_step, cancel)
        folder.clear()
    return done


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The split of the sources that show enough of the object, and the slices of each that do."""

    split: Split
    slices: Mapping[TrainingSource, Sequence[int]]


@dataclass(frozen=True, eq=False)
class _Training:
    """The parts of a training; `started` is the monotonic time in seconds."""

    request: TrainingRequest
    base: BaseModel
    chosen: _Chosen
    folder: WorkFolder
    store: CheckpointStore
    started: float


def _train(
    training: _Training,
    say: Say,
    on_progress: Callable[[Progress], None],
    on_step: Callable[[TrainingState], None],
    cancel: CancelCheck,
) -> FineTuned:
    """Encode, train, score and write, in a folder that is held."""
    request, base, folder, split = training.request, training.base, training.folder, training.chosen.split
    hashes = hash_files((*split.training, *split.validation))
    encoding = _Encoding(request, base, training.chosen, hashes, folder)
    folder.claim(encoding.key)
    stores = encoding.run(training.store, say, on_progress, cancel)
    trainer = Trainer(stores.network, stores.training, stores.validation, request.settings, key=stores.key)
    judged = stores.validation or stores.training
    if request.resume and folder.state.exists():
        trainer.load(folder.state)
        say(f"going on from step {trainer.state.step}")
    with swapped(stores.network.parameters(), trainer.start):
        before = score(stores.network, judged, cancel)

    def stepped(state: TrainingState) -> None:
        on_progress(Progress(state.step, request.settings.steps, "train"))
        on_step(state)

    trainer.run(folder.state, stepped, cancel)
    values = trainer.chosen_values()
    with swapped(stores.network.parameters(), values):
        after = score(stores.network, judged, cancel)
    weights = stores.network.plain_weights(values)
    card = {
        **_card(request, base, split, hashes, stores),
        **_outcome(trainer, before, after, validated=stores.validation is not None),
        "seconds": round(time.monotonic() - training.started, 1),
        "training_seconds": round(trainer.state.seconds, 1),
        "peak_memory_mb": peak_memory_mb(),
    }
    card = _write(request, weights, card, trainer)
    return FineTuned(request.output, _keep(request, base, training.store, say), card)


def check_request(request: TrainingRequest) -> None:
    """Raise `UsageError` or `OutputError` for what cannot end well, before anything is read."""
    if not request.output.name.endswith(OUTPUT_SUFFIX) or request.output.name == OUTPUT_SUFFIX:
        raise UsageError(f"{request.output} is no name for the weights.", f"Give -o NAME{OUTPUT_SUFFIX}.")
    for file in request.files:
        check_output_place(file)
    if not request.labels:
        raise UsageError("There is no label.", "Give --label NAME, the name of the segment to learn.")
    if not 0 <= request.val_fraction < 1:
        raise UsageError("The fraction for validation is not from 0 to 1.", "Give 0.2, or 0 for none.")
    inputs = [path for path in (request.data, request.validation) if path is not None and path.is_file()]
    check_against_inputs(request.files, inputs)


def _sources(request: TrainingRequest, say: Say) -> tuple[list[TrainingSource], list[TrainingSource]]:
    """Return the sources of the data and those given for validation; none of them is on both sides, or an output."""
    training = find_sources(request.data, say)
    validation = [] if request.validation is None else find_sources(request.validation, say)
    given_split(training, validation)
    used = (*training, *validation)
    check_against_inputs(request.files, [path for source in used for path in (source.image, source.reference)])
    return training, validation


def _choose(
    request: TrainingRequest,
    training: Sequence[TrainingSource],
    validation: Sequence[TrainingSource],
    say: Say,
    cancel: CancelCheck,
) -> _Chosen:
    """Return the split among the sources that have useful slices: the others can be neither learnt from nor tested
    with. Raises `InputError` where a side is left without any."""
    slices: dict[TrainingSource, list[int]] = {}
    named = ", ".join(request.labels)
    for source in (*training, *validation):
        raise_if_cancelled(cancel)
        labelled = read_labelled(source, request.labels)
        useful = useful_slices(labelled) if labelled is not None else []
        if useful:
            slices[source] = useful
        else:
            say(f"left out, without enough of {named}: {source.image.name}")
    learnt, tested = ([source for source in side if source in slices] for side in (training, validation))
    cure = f"A slice counts from {LEAST_PIXELS} pixels of it"
    if not learnt:
        raise InputError("No slice of the training images has enough of the object.", f"{cure}.")
    if request.validation is None:
        return _Chosen(split_by_patient(learnt, request.val_fraction, request.settings.seed), slices)
    if not tested:
        raise InputError(
            f"No slice of the images for validation has enough of {named}.",
            f"{cure}; give other patients, or leave out --val.",
        )
    return _Chosen(given_split(learnt, tested), slices)


@dataclass(frozen=True, eq=False)
class _Stores:
    """`slices` counts those of each source that are used, by image; `key` tells this training from others."""

    network: TrainableSam
    training: ViewStore
    validation: ViewStore | None
    key: str
    slices: Mapping[str, int]
    device: str


class _Encoding:
    """Reads the images and computes what the trainer needs of them."""

    def __init__(
        self,
        request: TrainingRequest,
        base: BaseModel,
        chosen: _Chosen,
        hashes: Mapping[str, str],
        folder: WorkFolder,
    ) -> None:
        self._request, self._base, self._folder, self._hashes = request, base, folder, hashes
        self._split, self._slices = chosen.split, chosen.slices
        self._lora = request.settings.encoder == "lora"

    def run(
        self, store: CheckpointStore, say: Say, on_progress: Callable[[Progress], None], cancel: CancelCheck
    ) -> _Stores:
        sides = {
            "training": (self._split.training, VIEWS, self._request.most_slices),
            "validation": (self._split.validation, PLAIN_VIEWS, max(1, self._request.most_slices // VALIDATION_PART)),
        }
        plans = {side: self._plan(sources, most) for side, (sources, _, most) in sides.items() if sources}
        counts = {side: sum(map(len, plan.values())) * len(sides[side][1]) for side, plan in plans.items()}
        predictor = load_predictor(
            self._base.entry.id,
            weights=self._base.path,
            device=self._request.device,
            precision="float32",
            engine="torch" if self._lora else self._request.engine,
            store=store,
            slices=sum(counts.values()),
        )
        module = predictor.module
        if not isinstance(module, Sam):
            raise UsageError(f"{self._base.entry.title} cannot be trained.", "Use --model lite_medsam.")
        say(f"{sum(counts.values())} views of {len(plans['training'])} images for training, {predictor.title}")
        stores: dict[str, ViewStore] = {}
        for side, plan in plans.items():
            path = self._folder.training if side == "training" else self._folder.validation
            views = self._views(plan, sides[side][1])
            stores[side] = self._fill(
                predictor, path, side, views, counts[side], on_progress=on_progress, cancel=cancel
            )
        device = predictor.device.device
        network = TrainableSam(module, self._request.settings.encoder, device, self._request.settings.seed)
        slices = {str(source.image): len(found) for plan in plans.values() for source, found in plan.items()}
        return _Stores(network, stores["training"], stores.get("validation"), self.key, slices, device.type)

    def _plan(self, sources: Sequence[TrainingSource], most: int) -> dict[TrainingSource, list[int]]:
        """Return the slices to use of each source."""
        taken = thin_out([len(self._slices[source]) for source in sources], most)
        return {
            source: [self._slices[source][place] for place in places]
            for source, places in zip(sources, taken, strict=True)
        }

    def _views(self, plan: Mapping[TrainingSource, list[int]], views: Sequence[str]) -> Iterator[SliceView]:
        for source, slices in plan.items():
            # Read again: a cohort of volumes does not fit in the memory.
            labelled = read_labelled(source, self._request.labels)
            if labelled is not None:
                yield from slice_views(labelled, slices, views)

    def _fill(
        self,
        predictor: SlicePredictor,
        path: Path,
        side: str,
        views: Iterator[SliceView],
        count: int,
        *,
        on_progress: Callable[[Progress], None],
        cancel: CancelCheck,
    ) -> ViewStore:
        size = self._base.entry.input_size

        def embed(image: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.asarray(predictor.encode(image).features[0][0].cpu().numpy())

        def show(image: NDArray[np.uint8]) -> NDArray[np.float32]:
            shape = (image.shape[0], image.shape[1])
            return predictor.transform(shape).network_input(image)

        def place(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
            shape = (mask.shape[0], mask.shape[1])
            return network_target(mask, predictor.transform(shape).resized_shape, size)

        module = predictor.module
        assert isinstance(module, Sam)
        cells = module.prompt_encoder.image_embedding_size
        feature_shape = (3, size, size) if self._lora else (module.prompt_encoder.embed_dim, *cells)
        return fill_store(
            path,
            self._store_key(side),
            views,
            count,
            encode=show if self._lora else embed,
            place=place,
            feature_shape=feature_shape,
            side=size,
            progress=lambda done, total: on_progress(Progress(done, total, f"encode, {side}")),
            cancel=cancel,
        )

    def _store_key(self, side: str) -> str:
        sources = self._split.training if side == "training" else self._split.validation
        return _digest(
            {
                "format": _STORE_FORMAT,
                "base": self._base.sha256,
                "labels": self._request.labels,
                "most_slices": self._request.most_slices,
                "lora": self._lora,
                "sources": [
                    [
                        source.patient,
                        self._hashes[str(source.image)],
                        self._hashes[str(source.reference)],
                        source.window,
                    ]
                    for source in sources
                ],
            }
        )

    @property
    def key(self) -> str:
        """The digest that tells this training from others: data, model, settings."""
        keys = [self._store_key(side) for side in ("training", "validation")]
        return _digest({"stores": keys, "settings": self._request.settings.facts()})


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _card(
    request: TrainingRequest, base: BaseModel, split: Split, hashes: Mapping[str, str], stores: _Stores
) -> dict[str, Any]:
    return {
        "format": 1,
        "name": request.output.name,
        "made_with": {"MedSAMSegment": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "base": {"id": base.id, "network": base.entry.id, "sha256": base.sha256},
        "labels": list(request.labels),
        "split": split.patients(),
        "data": [
            {
                "patient": source.patient,
                "image": source.image.name,
                "image_sha256": hashes[str(source.image)],
                "reference": source.reference.name,
                "reference_sha256": hashes[str(source.reference)],
                "window": source.window,
                "slices": stores.slices.get(str(source.image), 0),
            }
            for source in (*split.training, *split.validation)
        ],
        "settings": request.settings.facts(),
        "device": stores.device,
    }


def _outcome(trainer: Trainer, before: Scores, after: Scores, *, validated: bool) -> dict[str, Any]:
    state = trainer.state
    return {
        "validated": validated,
        "judged_on": "validation" if validated else "the training slices: not validated",
        "dice_before": {"mean": before.mean, "by_patient": before.by_patient},
        "dice_after": {"mean": after.mean, "by_patient": after.by_patient},
        "steps": state.step,
        "chosen_step": state.best_step if state.best is not None else state.step,
        "stopped_early": state.stopped_early,
    }


def _write(
    request: TrainingRequest, weights: Mapping[str, Tensor], card: dict[str, Any], trainer: Trainer
) -> dict[str, Any]:
    from safetensors.torch import save_file

    targets = [(path, path.suffix) for path in request.files]
    with atomic_writes(*targets) as (file, card_file, table, picture):
        save_file(dict(weights), file, metadata={"format": "pt"})
        card = {**card, "sha256": digest_file(file).sha256}
        scored = [row for row in trainer.state.curve if row.validation_dice is not None]
        card["validation_curve"] = [[row.step, row.validation_dice] for row in scored]
        card_file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        write_table(table, trainer.state.curve)
        draw_curves(picture, trainer.state.curve, f"{request.output.name}: {', '.join(request.labels)}")
    return card


def _keep(request: TrainingRequest, base: BaseModel, store: CheckpointStore, say: Say) -> str:
    """Put the weights into the model folder; where that cannot be, the file is still there to be imported."""
    try:
        return CustomModels(store).keep(request.output, wanted=base.entry).id
    except MedSAMError as error:
        say(f"{request.output} is written, but not in the model folder: {error}")
        return ""
