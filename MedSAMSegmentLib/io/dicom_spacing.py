"""The size of a DICOM pixel, from whichever tag states it. Nothing is invented: what no tag states is None."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dicom_header import damage, integer, number, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

CENTIMETRES = 3
MM_PER_CM = 10.0
TWO_DIMENSIONAL = 1


def pixel_spacing(data: Dataset, measures: Dataset | None = None) -> tuple[tuple[float, float] | None, str]:
    """Return the millimetres between rows and between columns, and a sentence where they are not PixelSpacing's.

    `measures` are the functional group of a frame.
    """
    for place in (measures, data):
        found = _positive(numbers(place, "PixelSpacing", 2))
        if found:
            return found, ""
    region = _ultrasound_region(data)
    if region:
        return region, ""
    detector = _positive(numbers(data, "ImagerPixelSpacing", 2))
    if detector:
        enlarged = number(data, "EstimatedRadiographicMagnificationFactor")
        if enlarged is not None and enlarged > 0:
            found = (detector[0] / enlarged, detector[1] / enlarged)
            return found, f"Spacing from ImagerPixelSpacing, divided by the magnification {enlarged:g}."
        return detector, "Spacing from ImagerPixelSpacing, as at the detector: the patient's own sizes are smaller."
    scanned = _positive(numbers(data, "NominalScannedPixelSpacing", 2))
    return scanned, "Spacing from NominalScannedPixelSpacing." if scanned else ""


def slice_distance(*places: Dataset | None, single: bool) -> tuple[float | None, str]:
    """Return the millimetres from slice to slice and the tag that states them; of a `single` slice its thickness."""
    names = ("SpacingBetweenSlices", "SliceThickness")
    for name in reversed(names) if single else names:
        for place in places:
            found = number(place, name)
            if found:
                return abs(found), name
    return None, ""


def _positive(pair: tuple[float, ...] | None) -> tuple[float, float] | None:
    return (pair[0], pair[1]) if pair and min(pair) > 0 else None


def _ultrasound_region(data: Dataset) -> tuple[float, float] | None:
    """Return the spacing of the largest two-dimensional region that is calibrated in centimetres."""
    best, largest = None, 0.0
    for region in _regions(data):
        if integer(region, "PhysicalUnitsXDirection") != CENTIMETRES:
            continue
        if integer(region, "PhysicalUnitsYDirection") != CENTIMETRES:
            continue
        if (integer(region, "RegionSpatialFormat") or TWO_DIMENSIONAL) != TWO_DIMENSIONAL:
            continue
        across, down = number(region, "PhysicalDeltaX"), number(region, "PhysicalDeltaY")
        if not across or not down:
            continue
        edges = [integer(region, f"RegionLocation{name}") or 0 for name in ("MinX0", "MaxX1", "MinY0", "MaxY1")]
        area = max(1, edges[1] - edges[0]) * max(1, edges[3] - edges[2])
        if area > largest:
            best, largest = (abs(down) * MM_PER_CM, abs(across) * MM_PER_CM), area
    return best


def _regions(data: Dataset) -> Iterator[Dataset]:
    try:
        yield from data.get("SequenceOfUltrasoundRegions") or ()
    except damage():
        return
