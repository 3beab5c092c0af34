"""`medsam-segment info IMAGE`; of a DICOM folder also the series in it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..io.dicom_series import FoundSeries
    from ..io.volume import Volume

_WIDTHS = (8, 9, 7, 18, 22)
"""Columns of the list of series: number, modality, slices, size, spacing."""


def run(options: argparse.Namespace) -> None:
    from ..io.dicom_series import list_series
    from ..io.read_volume import list_dicom, read_volume

    found = list_dicom(options.image) if options.image else None
    rows = list_series(found) if found is not None else []
    # A single file is its own list.
    listed: dict[str, Any] = {}
    if found is not None and (found.place.is_dir() or len(rows) > 1):
        listed = {"series": rows, "other_objects": list(found.others), "unreadable": list(found.unreadable)}
    if listed and not options.json:
        _print_series(rows, found)
    try:
        volume = read_volume(options.image, series=options.series, spacing=options.spacing, found=found)
    except InputError as error:
        if listed and options.json:
            print(json.dumps({"image": str(options.image), **listed, "error": str(error)}, indent=2))
        raise
    facts = _facts(volume, str(options.image))
    if options.json:
        print(json.dumps({**facts, **listed}, indent=2))
        return
    for name, value in facts.items():
        print(f"{name + ':':18s} {_matrix(value) if name == 'ijk_to_lps' else value}")


def _facts(volume: Volume, image: str) -> dict[str, Any]:
    from ..intensity import to_uint8

    array = volume.array_zyx
    return {
        "image": image,
        "kind": volume.kind,
        "modality": volume.modality,
        "size_ijk": list(reversed(array.shape[:3])),
        "frames": volume.frame_count,
        "channels": array.shape[3] if array.ndim == 4 else 1,
        "type": str(array.dtype),
        "spacing_mm_ijk": [float(f"{s:.6g}") for s in reversed(volume.geometry.spacing_zyx)],
        "spacing_known_ijk": list(reversed(volume.spacing_known_zyx)),
        "range": [float(array.min()), float(array.max())],
        "time_series": volume.is_time_series,
        "window": to_uint8(array, "auto", modality=volume.modality).description,
        "ijk_to_lps": volume.geometry.ijk_to_lps.tolist(),
        "filled_slices": list(volume.filled),
        "notes": list(volume.notes),
    }


def _print_series(rows: Sequence[dict[str, Any]], found: FoundSeries | None) -> None:
    heads = ("number", "modality", "slices", "size", "spacing in mm")
    print("".join(f"{head:{width}s}" for head, width in zip(heads, _WIDTHS, strict=True)) + "description, UID")
    for row in rows:
        slices = f"{row['slices']}" + (f" x {row['times']}" if row["times"] > 1 else "")
        size = " x ".join(map(str, row["size_ijk"]))
        spacing = " x ".join("?" if value is None else f"{value:.4g}" for value in row["spacing_mm_ijk"])
        cells = (row["number"], row["modality"], slices, size, spacing)
        name = f"{row['description']}, " if row["description"] else ""
        print("".join(f"{cell:{width - 1}s} " for cell, width in zip(cells, _WIDTHS, strict=True)) + name + row["uid"])
    if found is not None:
        for other in found.others:
            print(f"no image: {other}")
        for sentence in found.unreadable:
            print(sentence)
    print()


def _matrix(rows: list[list[float]]) -> str:
    lines = ["  ".join(f"{number:9.3f}" for number in row) for row in rows[:3]]
    return ("\n" + " " * 19).join(lines)
