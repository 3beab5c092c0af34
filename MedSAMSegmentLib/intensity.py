"""Intensities to the 8 bits that every model takes: windows, presets, and the choice of one.

A grey volume is clipped to a window [lo, hi] and scaled to 0..255, with one window for the whole volume. The input
is never changed, and large volumes go slab by slab, so that no full-size float copy is made.

Formulas: `pre_CT_MR.py` and `pre_grey_rgb.py` of the MedSAM repository. They scale by the extremes of the *clipped
data*, which stretches a volume that does not span its window; by default the window's own ends are used instead, and
`reference=True` gives the official numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, UsageError

SLAB_VOXELS = 1 << 22
SAMPLE_VOXELS = 1 << 24


@dataclass(frozen=True)
class Window:
    """The intensities that become black (`lo`) and white (`hi`)."""

    lo: float
    hi: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lo) and math.isfinite(self.hi)):
            raise UsageError(f"The window {self.lo} to {self.hi} is not finite.", "Give two numbers.")
        if self.lo >= self.hi:
            raise UsageError(f"The window {self.lo:g} to {self.hi:g} has no width.", "Give the lower end first.")

    @classmethod
    def from_level(cls, level: float, width: float) -> Window:
        """Return the window centred at `level`, `width` wide, as radiologists name it."""
        return cls(level - width / 2, level + width / 2)

    @property
    def level(self) -> float:
        return (self.lo + self.hi) / 2

    @property
    def width(self) -> float:
        return self.hi - self.lo


@dataclass(frozen=True)
class Preset:
    """A named way to find the window: fixed (`window`), or percentiles of the voxels above zero.

    `title` is not translated; the interface translates the same literal. `from_zero` starts the window at zero whatever
    the lower percentile is.
    """

    id: str
    title: str
    window: Window | None = None
    percentiles: tuple[float, float] | None = None
    from_zero: bool = False
    note: str = ""
    """How the window is found, where the title does not say it."""


_PERCENTILES = "0.5 to 99.5 percentile of the voxels above zero."

PRESETS: dict[str, Preset] = {
    preset.id: preset
    for preset in (
        Preset("ct-abdomen", "CT abdomen 40/400", Window.from_level(40, 400)),
        Preset("ct-lung", "CT lung -600/1500", Window.from_level(-600, 1500)),
        Preset("ct-brain", "CT brain 40/80", Window.from_level(40, 80)),
        Preset("ct-mediastinum", "CT mediastinum 50/350", Window.from_level(50, 350)),
        Preset("ct-bone", "CT bone 400/1800", Window.from_level(400, 1800)),
        Preset("mr", "MR", percentiles=(0.5, 99.5), note=_PERCENTILES),
        # Uptake is read from zero, and a small hot lesion lies above the 99.5 percentile of a whole body.
        Preset("pet", "PET", percentiles=(0.0, 99.9), from_zero=True, note="0 to the 99.9 percentile of the uptake."),
        Preset("grey", "Grey (ultrasound, OCT, X-ray)", percentiles=(0.5, 99.5), note=_PERCENTILES),
        Preset("rgb", "Colour, kept within 0..255"),
        Preset("none", "Already 0..255, kept"),
    )
}

MODALITY_PRESETS: dict[str, str] = {
    "CT": "ct-abdomen",
    **dict.fromkeys(("MR", "MRI"), "mr"),
    **dict.fromkeys(("PT", "PET", "NM"), "pet"),
    **dict.fromkeys(("US", "IVUS", "MG", "DX", "CR", "XA", "RF", "IO", "PX", "GM", "SM", "XC", "ES"), "grey"),
    **dict.fromkeys(("OCT", "OPT", "OP", "IVOCT", "OPTENF", "BI", "DG", "OT"), "grey"),
}
"""The preset that "auto" takes for a DICOM modality."""


@dataclass(frozen=True)
class WindowedVolume:
    """`volume_u8`, of the input's shape; the window used (None where values were kept); what was chosen, in words."""

    volume_u8: NDArray[np.uint8]
    window: Window | None
    description: str


WindowChoice = str | Window | tuple[float, float]


def to_uint8(
    volume: NDArray, window: WindowChoice = "auto", *, modality: str | None = None, reference: bool = False
) -> WindowedVolume:
    """Scale a volume (z,y,x) or (z,y,x,3), or a slice, to 0..255.

    `window` is a preset id of `PRESETS`, "auto", "LEVEL/WIDTH", a `Window` or (lo, hi). `modality` is the DICOM
    modality, if known. `reference` reproduces the official formula (extremes of the clipped data).
    Values that are not finite count as the lowest finite one. Raises `UsageError` for an unknown window and
    `InputError` for an array that is empty, not real, or has no finite value.
    """
    array = np.asarray(volume)
    lowest, highest = _checked_range(array)
    if array.ndim == 4:
        return _colour(array, window, lowest, highest)
    preset, fixed, why = _choose(array, window, modality, lowest, highest)
    if fixed is None and preset.percentiles is None:
        return _kept(array, lowest, highest, why or preset.title)
    keep_zero = fixed is None and preset.percentiles is not None
    if fixed is None:
        fixed = _percentile_window(array, preset, exact=reference)
    if fixed is None:
        constant = np.zeros(array.shape, np.uint8)
        return WindowedVolume(constant, None, f"{why or preset.title}; all voxels are equal, the image is black")
    if reference:
        result = _scale_to_data(array, fixed, lowest, highest, keep_zero)
    else:
        result = _scale_to_window(array, fixed, keep_zero)
    return WindowedVolume(result, fixed, f"{why or preset.title} [{fixed.lo:g}, {fixed.hi:g}]")


def parse_window(window: WindowChoice) -> str | Window:
    """Return a preset id (or "auto"), or the `Window` that "LEVEL/WIDTH" or (lo, hi) means. Raises `UsageError`."""
    if isinstance(window, Window):
        return window
    if isinstance(window, str):
        name = window.strip().lower()
        if name == "auto" or name in PRESETS:
            return name
        level, slash, width = name.partition("/")
        try:
            return Window.from_level(float(level), float(width)) if slash else _unknown(window)
        except ValueError:
            return _unknown(window)
    if isinstance(window, (tuple, list)) and len(window) == 2:
        return Window(float(window[0]), float(window[1]))
    return _unknown(window)


def _unknown(window: object) -> Window:
    known = ", ".join(("auto", *PRESETS))
    raise UsageError(f"The window {window!r} is not known.", f"Use LEVEL/WIDTH or one of {known}.")


def _checked_range(array: NDArray) -> tuple[float, float]:
    """Return the lowest and highest finite value."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"The image's values are of type {array.dtype}.", "Use real numbers.")
    if array.ndim not in (2, 3, 4) or (array.ndim == 4 and array.shape[-1] != 3):
        raise InputError(f"The image has the shape {array.shape}.", "Use z,y,x or z,y,x and three colours.")
    if array.size == 0:
        raise InputError("The image is empty.", "Use an image with at least one voxel.")
    lowest, highest = math.inf, -math.inf
    for slab in _slabs(array):
        values = slab[np.isfinite(slab)] if slab.dtype.kind == "f" else slab
        if values.size:
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
    if lowest > highest:
        raise InputError("The image has no finite value.", "Repair or export it again.")
    return lowest, highest


def _choose(
    array: NDArray, window: WindowChoice, modality: str | None, lowest: float, highest: float
) -> tuple[Preset, Window | None, str]:
    """Return the preset, its fixed window if it has one, and the reason if "auto" chose it."""
    choice = parse_window(window)
    if isinstance(choice, Window):
        return PRESETS["none"], choice, f"window {choice.level:g}/{choice.width:g}"
    if choice != "auto":
        preset = PRESETS[choice]
        return preset, preset.window, ""
    name, reason = _automatic(array, modality, lowest, highest)
    preset = PRESETS[name]
    return preset, preset.window, f"auto: {preset.title} ({reason})"


def _automatic(array: NDArray, modality: str | None, lowest: float, highest: float) -> tuple[str, str]:
    kind = (modality or "").strip().upper()
    name = MODALITY_PRESETS.get(kind)
    window = PRESETS[name].window if name else None
    if window and (highest <= window.lo or lowest >= window.hi):
        return "grey", f"modality {kind}, but no voxel lies within the window"
    if array.dtype == np.uint8 and name in (None, "grey"):
        return "none", "8-bit image"
    return (name, f"modality {kind}") if name else _by_values(array, lowest, highest)


def _by_values(array: NDArray, lowest: float, highest: float) -> tuple[str, str]:
    if _like_ct(array, lowest, highest):
        return "ct-abdomen", f"values from {lowest:g} to {highest:g}, as in CT"
    if lowest >= 0 and 200 < highest <= 255 and _is_whole(array):
        return "none", "whole values within 0..255"
    return "mr", "no modality known"


def _like_ct(array: NDArray, lowest: float, highest: float) -> bool:
    # Air is -1000 HU; scanners pad down to about -3024, which says nothing about how high bone must reach.
    if not (-3100 <= lowest <= -500 and highest > -0.5 * max(lowest, -1024.0)):
        return False
    # A phase image is negative too, but symmetric. Resampling leaves fractions and goes a little beyond air.
    return -highest != lowest if _is_whole(array) else -1200 <= lowest <= -900 and abs(highest + lowest) > 100


def _is_whole(array: NDArray) -> bool:
    if array.dtype.kind != "f":
        return True
    sample = _sample(array)
    return bool(np.all(sample == np.rint(sample)))


def _sample(array: NDArray, limit: int = SAMPLE_VOXELS) -> NDArray:
    """Return the finite values, or evenly spread ones when there are more than `limit`."""
    flat = array.reshape(-1)[:: max(1, -(-array.size // limit))]
    return flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat


def _percentile_window(array: NDArray, preset: Preset, *, exact: bool) -> Window | None:
    """Return the window between the preset's percentiles of the voxels above zero; None when all voxels are equal."""
    values = _sample(array, array.size if exact else SAMPLE_VOXELS)
    above = values[values > 0]
    if above.size == 0:
        above = values
    lo, hi = (float(v) for v in np.percentile(above, preset.percentiles or (0.0, 100.0)))
    if preset.from_zero and hi > 0:
        lo = 0.0
    if lo >= hi:
        lo, hi = float(values.min()), float(values.max())
    return Window(lo, hi) if lo < hi else None


def _scale_to_window(array: NDArray, window: Window, keep_zero: bool) -> NDArray[np.uint8]:
    def scale(values: NDArray) -> NDArray:
        values = _finite(values, window.lo).astype(np.float64)
        scaled = (np.clip(values, window.lo, window.hi) - window.lo) * (255.0 / (window.hi - window.lo))
        if keep_zero:
            scaled[values == 0] = 0
        # Rounding of the product must not turn white into 254.
        return (np.minimum(scaled, 255.0) + 1e-9).astype(np.uint8)

    return _apply(array, scale)


def _scale_to_data(array: NDArray, window: Window, lowest: float, highest: float, keep_zero: bool) -> NDArray[np.uint8]:
    """Scale by the official formula: clip, then min-max of the clipped data, truncated."""
    kind = array.dtype if array.dtype.kind == "f" and not keep_zero else np.dtype(np.float64)
    ends = np.clip(np.array([lowest, highest], dtype=kind), window.lo, window.hi)
    if ends[0] == ends[1]:
        return np.zeros(array.shape, np.uint8)

    def scale(values: NDArray) -> NDArray:
        original = _finite(values, lowest).astype(kind)
        scaled = (np.clip(original, window.lo, window.hi) - ends[0]) / (ends[1] - ends[0]) * 255.0
        if keep_zero:
            scaled[original == 0] = 0
        return scaled.astype(np.uint8)

    return _apply(array, scale)


def _apply(array: NDArray, scale: Callable[[NDArray], NDArray]) -> NDArray[np.uint8]:
    """Apply `scale` to each voxel, slab by slab; through a table where the type has few values."""
    result = np.empty(array.shape, np.uint8)
    table: NDArray[np.uint8] | None = None
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2 and array.size > 1 << 16:
        limits = np.iinfo(array.dtype)
        table = scale(np.arange(limits.min, limits.max + 1))
        unsigned = np.dtype(f"u{array.dtype.itemsize}")
        # Viewed as unsigned, a negative value v is found at v + 2**bits.
        table = np.roll(table, limits.min)
    for source, target in zip(_slabs(array), _slabs(result), strict=True):
        if table is None:
            target[...] = scale(source)
        else:
            np.take(table, source.astype(unsigned, copy=False), out=target)
    return result


def _slabs(array: NDArray) -> Iterator[NDArray]:
    """Yield views of some slices of the first axis at a time."""
    step = max(1, SLAB_VOXELS * array.shape[0] // max(array.size, 1))
    for first in range(0, array.shape[0], step):
        yield array[first : first + step]


def _finite(values: NDArray, fill: float) -> NDArray:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return values
    return np.nan_to_num(values, nan=fill, posinf=fill, neginf=fill)


def _kept(array: NDArray, lowest: float, highest: float, why: str) -> WindowedVolume:
    if array.dtype == np.bool_:
        return WindowedVolume(array.astype(np.uint8) * 255, None, "mask, as black and white")
    if lowest < 0 or highest > 255:
        raise InputError(
            f"The image's values run from {lowest:g} to {highest:g}, not within 0 to 255.",
            "Choose a window, or auto.",
        )
    return WindowedVolume(_apply(array, lambda values: _finite(values, lowest).astype(np.uint8)), None, why)


def _colour(array: NDArray, window: WindowChoice, lowest: float, highest: float) -> WindowedVolume:
    choice = parse_window(window)
    if isinstance(choice, Window):
        scaled = _scale_to_window(array, choice, keep_zero=False)
        return WindowedVolume(scaled, choice, f"colour, window {choice.level:g}/{choice.width:g} on each channel")
    if choice not in ("auto", "rgb", "none"):
        raise UsageError(f"The preset {choice} is for grey images; this one is in colour.", "Use auto or rgb.")
    if lowest >= 0 and highest <= 255:
        return _kept(array, lowest, highest, "colour, kept within 0..255")
    if choice == "none":
        return _kept(array, lowest, highest, "")
    if lowest == highest:
        return WindowedVolume(np.zeros(array.shape, np.uint8), None, "colour; all voxels are equal, the image is black")
    span = Window(lowest, highest)
    return WindowedVolume(_scale_to_window(array, span, keep_zero=False), span, f"colour [{lowest:g}, {highest:g}]")
