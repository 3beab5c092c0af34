"""Segments of the scene as files to train on: one challenge `.npz` for each segmentation, and a manifest."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from ..auto_window import window_of_prompts
from ..errors import InputError
from ..intensity import MODALITY_PRESETS
from ..io.challenge_npz import write_case
from ..mrml.segment_reader import read_segment
from ..mrml.volume_node import read_volume_node
from ..prompts import Box

COLUMNS = ("patient", "image", "reference", "window")


@dataclass(frozen=True)
class NamedSegment:
    """A segment with the volume that it was drawn on."""

    segmentation: Any
    segment_id: str
    volume: Any


def segment_names(scene: Any) -> list[str]:
    """Return the names of the segments in the scene, each once, sorted."""
    names = set[str]()
    for node in _segmentations(scene):
        segmentation = node.GetSegmentation()
        names.update(segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments()))
    return sorted(names)


def named_segments(scene: Any, name: str) -> list[NamedSegment]:
    """Return the segments of that name, of each segmentation the first, where its volume is there."""
    found = []
    for node in _segmentations(scene):
        volume = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        if segment_id and volume is not None and volume.GetImageData() is not None:
            found.append(NamedSegment(node, segment_id, volume))
    return found


def write_training_data(folder: Path, segments: Sequence[NamedSegment]) -> Path:
    """Write images and masks into a folder and return the manifest. Raises `InputError` where all are empty."""
    rows = []
    for number, item in enumerate(segments):
        volume = read_volume_node(item.volume, copy=False)
        mask = read_segment(item.segmentation, item.segment_id, volume.geometry)
        if not mask.any():
            continue
        file = f"case{number}.npz"
        write_case(folder / file, volume.array_zyx, mask, volume.geometry)
        window = window_of_prompts(volume.array_zyx, volume.modality, [Box.around(mask)])
        if window == "auto":  # the file does not tell the modality
            window = MODALITY_PRESETS.get(volume.modality or "", "auto")
        # Segmentations of one image are of one patient.
        rows.append((item.volume.GetID(), file, file, window))
    if not rows:
        raise InputError("The segments of that name are empty.", "Draw them first, or choose another name.")
    manifest = folder / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file_:
        writer = csv.writer(file_)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return manifest


def _segmentations(scene: Any) -> list[Any]:
    count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    found = [scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode") for n in range(count)]
    return [node for node in found if node.GetSegmentation() is not None]
