"""`medsam-segment demo`: three organs of a real chest CT, each from one 3D box, against a reference segmentation.

The CT and its segmentation are package data of `slicerio` (a public Slicer sample).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..auto_window import window_of_prompts
from ..errors import InputError, OutputError, UsageError
from ..evaluation.metrics import dice
from ..geometry import VolumeGeometry
from ..io.read_segmentation import read_segmentation
from ..io.read_volume import read_volume
from ..io.volume import Volume
from ..io.write_segmentation import segments_from, write_segmentation
from ..prompts import Box
from ..runs.outputs import overlay_grid
from .opening import fetch_weights
from .overwriting import agree_to_overwrite
from .progress import say, slice_bar

if TYPE_CHECKING:
    from ..inference.slice_predictor import SlicePredictor
    from ..results import ObjectResult, Segmentation3D


@dataclass(frozen=True)
class Organ:
    """A segment of the reference, and its SNOMED CT code."""

    name: str
    terminology: str
    color: tuple[float, float, float]


FILES = ("chest.seg.nrrd", "chest.png", "report.json")

ORGANS = (
    Organ("right lung", "SCT:3341006:Right lung", (0.30, 0.69, 0.31)),
    Organ("left lung", "SCT:44029006:Left lung", (0.13, 0.59, 0.95)),
    Organ("thoracic vertebral column", "SCT:122495006:Thoracic spine", (1.0, 0.76, 0.03)),
)


@dataclass(frozen=True)
class DemoRow:
    organ: str
    window: str
    dice: float
    millilitres: float
    reference_millilitres: float
    seconds_per_slice: float


def run(options: argparse.Namespace) -> None:
    from ..inference.open import load_predictor

    organs = chosen_organs(options.organ)
    folder = Path(options.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.", "Choose another.") from error
    agree_to_overwrite([folder / name for name in FILES], options.overwrite)
    if not options.offline:
        fetch_weights("lite_medsam", options.quiet)
    predictor = load_predictor("lite_medsam", device=options.device, precision=options.precision, engine=options.engine)
    volume, references = load_chest()
    windows = automatic_windows(volume, references, organs)
    results, rows = [], []
    for window in dict.fromkeys(windows.values()):
        alike = [organ for organ in organs if windows[organ.name] == window]
        result = segment_organs(
            predictor, volume, references, alike, window=window, strategy=options.strategy, quiet=options.quiet
        )
        results.append(result)
        rows.extend(_rows(alike, window, result, references, volume.geometry))
    _write(folder, volume, results, rows, predictor.weights_sha256)
    if not options.quiet:
        print_table(rows)
    for name in FILES:
        say(f"wrote {folder / name}", options.quiet)


def chosen_organs(names: Sequence[str]) -> list[Organ]:
    """Return the organs of these names, all without one. Raises `UsageError` for a name that is none of theirs."""
    known = {organ.name: organ for organ in ORGANS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"The demo has no organ {unknown[0]!r}.", f"Name one of these: {', '.join(known)}.")
    return [organ for organ in ORGANS if organ.name in names or not names]


def load_chest() -> tuple[Volume, dict[str, NDArray[np.bool_]]]:
    """Return the CT and its reference masks (z,y,x) by name."""
    import slicerio

    data = Path(slicerio.__file__).parent / "data"
    volume = read_volume(data / "CTChest4.nrrd")
    segments = read_segmentation(data / "Segmentation.seg.nrrd").segments
    masks = {segment.name: segment.mask_zyx for segment in segments}
    missing = [organ.name for organ in ORGANS if organ.name not in masks]
    if missing:
        raise InputError(f"The reference segmentation lacks {', '.join(missing)}.", "Install slicerio 1.4 or later.")
    return volume, masks


def automatic_windows(
    volume: Volume, references: Mapping[str, NDArray[np.bool_]], organs: Sequence[Organ]
) -> dict[str, str]:
    """Return the window of each organ by name, as "auto" finds it for the box that a user draws."""
    boxes = {organ.name: Box.around(references[organ.name]) for organ in organs}
    return {name: window_of_prompts(volume.array_zyx, volume.modality, [box]) for name, box in boxes.items()}


def segment_organs(
    predictor: SlicePredictor,
    volume: Volume,
    references: Mapping[str, NDArray[np.bool_]],
    organs: Sequence[Organ],
    *,
    window: str,
    strategy: str | None = None,
    quiet: bool = True,
) -> Segmentation3D:
    """Segment organs that are read in the same window, in one session: each slice is encoded once for all of them."""
    from ..inference.open import open_session

    session = open_session(predictor, volume.array_zyx, geometry=volume.geometry, window=window)
    names = [organ.name for organ in organs]
    boxes = [Box.around(references[name]) for name in names]
    with session, slice_bar(" + ".join(names), quiet) as progress:
        return session.propagate(boxes, names=names, strategy=strategy, on_progress=progress)


def _rows(
    organs: Sequence[Organ],
    window: str,
    result: Segmentation3D,
    references: Mapping[str, NDArray[np.bool_]],
    geometry: VolumeGeometry,
) -> list[DemoRow]:
    rows = []
    for organ, item in zip(organs, result.objects, strict=True):
        mask, reference = item.mask, references[organ.name]
        ours, theirs = (float(m.sum()) * geometry.voxel_volume_ml for m in (mask, reference))
        per_slice = result.seconds / result.predictions
        rows.append(DemoRow(organ.name, window, dice(mask, reference), ours, theirs, per_slice))
    return rows


def _write(
    folder: Path,
    volume: Volume,
    results: list[Segmentation3D],
    rows: list[DemoRow],
    weights: str,
) -> None:
    from ..intensity import to_uint8
    from ..io.overlay import write_overlay
    from ..io.report import volume_digest, write_report
    from ..io.result_facts import object_facts
    from ..runs.report import versions

    found: dict[str, ObjectResult] = {item.name: item for result in results for item in result.objects}
    organs = [organ for organ in ORGANS if organ.name in found]
    items = [found[organ.name] for organ in organs]
    segments = segments_from(
        [item.name for item in items],
        [item.mask for item in items],
        terminologies=[organ.terminology for organ in organs],
        colors=[organ.color for organ in organs],
    )
    write_segmentation(folder / "chest.seg.nrrd", segments, volume.geometry)
    grey = to_uint8(volume.array_zyx, "ct-mediastinum").volume_u8
    write_overlay(folder / "chest.png", grey, segments, axis=0, **overlay_grid(volume))
    report = {
        "input": {"file": volume.source.name, "sha256": volume_digest(volume)},
        "model": {"id": "lite_medsam", "weights_sha256": weights},
        "versions": versions(),
        "device": results[0].device,
        "strategy": results[0].strategy,
        "table": [vars(row) for row in rows],
        "objects": [object_facts(item, volume) for item in items],
    }
    write_report(folder / "report.json", report)


def print_table(rows: list[DemoRow]) -> None:
    print(f"\n{'organ':28s} {'Dice':>6s} {'window':>8s} {'volume mL':>10s} {'reference mL':>13s} {'s / slice':>10s}")
    for row in rows:
        print(
            f"{row.organ:28s} {row.dice:6.3f} {row.window:>8s} {row.millilitres:10.1f} "
            f"{row.reference_millilitres:13.1f} {row.seconds_per_slice:10.2f}"
        )
    print()
