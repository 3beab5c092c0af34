"""The gate of fine-tuning: does it help another patient, and does it harm other organs?

    python Testing/bench/fine_tuning.py SOURCES WORK [--only spine] [--seeds 0 1 2] [--figures FILE.json]

SOURCES is the folder of `collect_cases.py` (of it `TotalSegmentator/` is used), WORK keeps embeddings, states and
results: what is done there already is not done again, so that the whole can be run in pieces. Each training is that of
the command with its default settings. The lesions come from `../shared/data` (or MEDSAM_SHARED).

Trained on is one chest CT (`slicerio`, CTChest4), tested on is the torso CT of another patient (TotalSegmentator's test
data, whose labels are its own networks'). Lesions leave one patient of four out. Guards are organs that were not
trained on. Scores are Dice over all slices of a patient with 20 pixels or more, from one loose box each
(`training/scores.py`), before and after.

Settings are weighed on "chosen by": the same two patients the other way about, with other guards. It runs only when it
is named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from cases import SHARED
from collect_cases import _onto
from numpy.typing import NDArray

from MedSAMSegmentLib.auto_window import window_of_prompts
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.commands.demo import load_chest
from MedSAMSegmentLib.inference.open import load_predictor
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.registry import get
from MedSAMSegmentLib.training.network import TrainableSam, swapped
from MedSAMSegmentLib.training.scores import score
from MedSAMSegmentLib.training.settings import TrainingSettings
from MedSAMSegmentLib.training.sources import LabelledVolume, TrainingSource, read_labelled
from MedSAMSegmentLib.training.store import ViewStore, fill_store
from MedSAMSegmentLib.training.trainer import Trainer
from MedSAMSegmentLib.training.views import PLAIN_VIEWS, VIEWS, network_target, slice_views, useful_slices
from MedSAMSegmentLib.worker.memory import peak_memory_mb

MODEL = "lite_medsam"
SPINE = ("cervical vertebral column", "thoracic vertebral column", "lumbar vertebral column")
TORSO = {
    "spine": tuple(range(25, 51)),
    "ribs": tuple(range(92, 117)),
    "liver": (5,),
    "spleen": (1,),
    "aorta": (52,),
    "spinal-cord": (79,),
    "stomach": (6,),
}
GUARDS = ("torso/liver", "torso/spleen", "torso/aorta", "torso/spinal-cord", "torso/stomach", "chest/right-lung")
OTHER_GUARDS = ("chest/right-lung", "chest/left-lung", "chest/ribs", "chest/tissue")
GUARD_SLICES = 5
"""Of each guard, evenly: they are scored often."""

LESIONS = {
    "000001": "CT_Lesion_000001_02_01_008-023.npz",
    "000009": "CT_Lesion_000009_03_01_036-048.npz",
    "000010": "new/CT_Lesion_000010_01_01_078-090.npz",
    "000015": "CT_Lesion_000015_01_01_103-115.npz",
}


@dataclass(frozen=True)
class Experiment:
    """`training` are names of what is trained on, `tested` of what is tested on, `guards` of what must not be harmed;
    all as `Bench.volume` takes them."""

    name: str
    training: tuple[str, ...]
    tested: str
    guards: tuple[str, ...] = GUARDS


EXPERIMENTS = (
    Experiment("spine", ("chest/spine",), "torso/spine"),
    Experiment("ribs", ("chest/ribs",), "torso/ribs"),
    *(
        Experiment(f"lesion {left}", tuple(f"lesion/{one}" for one in LESIONS if one != left), f"lesion/{left}")
        for left in LESIONS
    ),
)
CHOSEN_BY = Experiment("chosen by", ("torso/spine",), "chest/spine", OTHER_GUARDS)


class Bench:
    def __init__(self, sources: Path, work: Path) -> None:
        self._torso_folder = sources / "TotalSegmentator" / "tests" / "reference_files"
        self._work = work
        self._predictor: SlicePredictor | None = None

    def volume(self, name: str) -> LabelledVolume:
        kind, _, label = name.partition("/")
        makers: dict[str, Callable[[str], LabelledVolume]] = {
            "chest": self._chest,
            "torso": self._torso,
            "lesion": self._lesion,
        }
        return makers[kind](label)

    def _chest(self, label: str) -> LabelledVolume:
        volume, masks = load_chest()
        names = SPINE if label == "spine" else (label.replace("-", " "),)
        mask = np.any([masks[name] for name in names], axis=0)
        return _labelled("chest", volume, mask)

    def _torso(self, label: str) -> LabelledVolume:
        volume, labels = self._torso_data()
        return _labelled("torso", volume, np.isin(labels, TORSO[label]))

    @cache  # noqa: B019 - one object for the whole run
    def _torso_data(self) -> tuple[Volume, NDArray[Any]]:
        image = self._torso_folder / "example_ct_dicom"
        labels = sitk.ReadImage(str(self._torso_folder / "example_seg_dicom.nii.gz"))
        return read_volume(image), sitk.GetArrayFromImage(_onto(labels, image))

    def _lesion(self, patient: str) -> LabelledVolume:
        path = SHARED / "data" / LESIONS[patient]
        found = read_labelled(TrainingSource(patient, path, path), ["1"])
        assert found is not None
        return found

    def store(self, name: str, views: Sequence[str], slices: int | None = None) -> ViewStore:
        """Return the embeddings of a volume, encoded if they are not in the work folder yet."""
        labelled = self.volume(name)
        chosen = useful_slices(labelled)
        if slices is not None:
            chosen = [chosen[int(place)] for place in (np.arange(slices) + 0.5) * len(chosen) / slices]
        folder = self._work / f"{name.replace('/', '-')}-{len(views)}-{len(chosen)}"
        return fill_store(
            folder,
            "gate",
            slice_views(labelled, chosen, views),
            len(chosen) * len(views),
            encode=lambda image: self.predictor.encode(image).features[0][0].numpy(),
            place=self._place,
            feature_shape=(256, 64, 64),
            side=256,
            progress=lambda done, total: print(f"\r{name}: {done}/{total}", end="", file=sys.stderr, flush=True),
        )

    def _place(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return network_target(mask, self.predictor.transform((mask.shape[0], mask.shape[1])).resized_shape, 256)

    @property
    def predictor(self) -> SlicePredictor:
        if self._predictor is None:
            self._predictor = load_predictor(MODEL, device="cpu", precision="float32")
        return self._predictor

    def guards(self, names: Sequence[str]) -> dict[str, ViewStore]:
        return {name.partition("/")[2]: self.store(name, PLAIN_VIEWS, GUARD_SLICES) for name in names}

    def run(self, experiment: Experiment, settings: TrainingSettings) -> dict[str, Any]:
        """Train and score; return the figures of one training."""
        begun = time.monotonic()
        stores = [self.store(name, VIEWS) for name in experiment.training]
        encoded = time.monotonic()
        tested = self.store(experiment.tested, PLAIN_VIEWS)
        guards = self.guards(experiment.guards)
        self._predictor = None
        network = fresh_network()
        scored = {"tested": tested, **guards}
        before = {name: score(network, store).mean for name, store in scored.items()}
        training = joined(stores)
        trainer = Trainer(network, training, None, settings, key=experiment.name)
        kept = self._work / f"{experiment.name.replace(' ', '-')}-{settings.seed}-{_digest(settings)}.safetensors"
        if kept.exists():
            trainer.load(kept)
        trainer.run(kept, lambda state: print(f"\rstep {state.step}", end="", file=sys.stderr, flush=True))
        with swapped(network.parameters(), trainer.chosen_values()):
            after = {name: score(network, store).mean for name, store in scored.items()}
            own = score(network, training).mean
        return {
            "experiment": experiment.name,
            "seed": settings.seed,
            "settings": settings.facts(),
            "views": len(training),
            "before": before,
            "after": after,
            "training_dice_after": own,
            "first_loss": trainer.state.curve[0].loss,
            "last_loss": trainer.state.curve[-1].loss,
            "encoding_seconds": round(encoded - begun, 1),
            "training_seconds": round(trainer.state.seconds, 1),
            "peak_memory_mb": peak_memory_mb(),
            "threads": torch.get_num_threads(),
        }

    def overfit(self, settings: TrainingSettings) -> dict[str, Any]:
        """Train on one slice and score it."""
        whole = self.store("torso/spine", PLAIN_VIEWS)
        row = len(whole) // 2
        one = ViewStore(whole.records[row : row + 1], whole.features[row : row + 1], whole.targets[row : row + 1])
        network = fresh_network()
        before = score(network, one).mean
        trainer = Trainer(network, one, None, settings)
        trainer.run()
        with swapped(network.parameters(), trainer.chosen_values()):
            after = score(network, one).mean
        return {"experiment": "overfit", "seed": 0, "before": before, "after": after, "settings": settings.facts()}


def joined(stores: Sequence[ViewStore]) -> ViewStore:
    """Return several stores as one; a single one stays on the disk."""
    if len(stores) == 1:
        return stores[0]
    return ViewStore(
        tuple(record for store in stores for record in store.records),
        np.concatenate([store.features for store in stores]),
        np.concatenate([store.targets for store in stores]),
    )


def fresh_network() -> TrainableSam:
    from MedSAMSegmentLib.checkpoints.weights import load_state_dict

    entry = get(MODEL)
    sam = build(entry.builder)
    sam.load_state_dict(load_state_dict(CheckpointStore().require(entry), entry))
    return TrainableSam(sam, "frozen", torch.device("cpu"))  # type: ignore[arg-type]


def _digest(settings: TrainingSettings) -> str:
    return hashlib.sha256(json.dumps(settings.facts(), sort_keys=True).encode()).hexdigest()[:8]


def _labelled(patient: str, volume: Volume, mask: NDArray[np.bool_]) -> LabelledVolume:
    source = TrainingSource(patient, volume.source, volume.source)
    window = window_of_prompts(volume.array_zyx, volume.modality, [Box.around(mask)])
    return LabelledVolume(source, volume, mask, window)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", action="append", help='a name: spine, ribs, "lesion 000001", "chosen by", overfit')
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=TrainingSettings.steps)
    parser.add_argument("--pull", type=float, default=TrainingSettings.pull)
    parser.add_argument("--rehearsal", type=int, default=TrainingSettings.rehearsal)
    parser.add_argument("--weight", type=float, default=TrainingSettings.rehearsal_weight)
    parser.add_argument("--rate", type=float, default=TrainingSettings.learning_rate)
    parser.add_argument("--figures", type=Path, help="where the results are gathered; default: WORK/results.json")
    parser.add_argument("--encode-only", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    figures = options.figures or options.work / "results.json"
    results = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {"runs": []}
    bench = Bench(options.sources, options.work)
    settings = TrainingSettings(
        steps=options.steps,
        pull=options.pull,
        learning_rate=options.rate,
        rehearsal=options.rehearsal,
        rehearsal_weight=options.weight,
    )

    def keep(result: dict[str, Any]) -> None:
        results["runs"].append(result)
        figures.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print("\n" + json.dumps({key: value for key, value in result.items() if key != "settings"}), flush=True)

    done = [(run["experiment"], run["seed"], run["settings"]) for run in results["runs"]]
    for experiment in (*EXPERIMENTS, CHOSEN_BY):
        if experiment.name not in (options.only or [other.name for other in EXPERIMENTS]):
            continue
        if options.encode_only:
            for name in experiment.training:
                bench.store(name, VIEWS)
            bench.store(experiment.tested, PLAIN_VIEWS)
            bench.guards(experiment.guards)
            continue
        for seed in options.seeds:
            own = replace(settings, seed=seed)
            if (experiment.name, seed, own.facts()) not in done:
                keep(bench.run(experiment, own))
    if not options.only or "overfit" in options.only:
        keep(bench.overfit(replace(settings, batch=2, steps=options.steps, pull=0.0, click_share=0.0, rehearsal=0)))


if __name__ == "__main__":
    main()
