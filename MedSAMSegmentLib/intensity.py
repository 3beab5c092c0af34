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

FEW_VOXELS = 1 << 20
"""Enough to know what most voxels are."""

SIGNED_PART = 0.1
"""A z-scored or a phase image reaches as far below zero as this part of what it reaches above; ringing does not."""

SIGNED_SHARE = 0.05
"""More of the voxels than this lie below zero where an image is signed; filters and resampling leave fewer there."""

BACKGROUND_SHARE = 0.1
"""A value that is this common in a signed image is its background."""

CT_CONTRAST = 50
"""A CT spans more HU than this between fat and water alone; one that was z-scored spans a few units."""


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


def _(text: str) -> str:
    """Mark a text for translation: Slicer's extraction reads literals in calls of this name, `ui` translates them."""
    return text


_UPTAKE = _("0 to the 99.9 percentile of the uptake.")
_PERCENTILES = _("0.5 to 99.5 percentile of the voxels above zero, or of all if many are below.")

PRESETS: dict[str, Preset] = {
    preset.id: preset
    for preset in (
        Preset("ct-abdomen", _("CT abdomen 40/400"), Window.from_level(40, 400)),
        Preset("ct-lung", _("CT lung -600/1500"), Window.from_level(-600, 1500)),
        Preset("ct-brain", _("CT brain 40/80"), Window.from_level(40, 80)),
        Preset("ct-mediastinum", _("CT mediastinum 50/350"), Window.from_level(50, 350)),
        Preset("ct-bone", _("CT bone 400/1800"), Window.from_level(400, 1800)),
        Preset("mr", _("MR"), percentiles=(0.5, 99.5), note=_PERCENTILES),
        # Uptake is read from zero, and a small hot lesion lies above the 99.5 percentile of a whole body.
        Preset(
            "pet", _("PET"), percentiles=(0.0, 99.9), from_zero=True, note=_("0 to the 99.9 percentile of the uptake.")
        ),
        Preset("grey", _("Grey (ultrasound, OCT, X-ray)"), percentiles=(0.5, 99.5), note=_PERCENTILES),
        Preset("rgb", _("Colour, kept within 0..255")),
        Preset("none", _("Already 0..255, kept")),
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

ValueRange = tuple[float, float]
"""The lowest and the highest finite value of a volume."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """One scaling to 0..255 for every voxel of a volume, so that it can be applied to any part of it.

    `window` is None where values are kept; `description` says what was chosen, in words.
    """

    window: Window | None
    description: str
    convert: Callable[[NDArray], NDArray[np.uint8]]


class _VoxelsNeeded(Exception):
    """The choice depends on more than the type and the range of the values."""


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
    _require_image(array)
    span = _finite_range(array)
    if array.ndim == 4:
        return _scaled(array, _colour(array.dtype, window, span))
    preset, fixed, why = _choose(array.dtype, lambda: _is_whole(array), window, modality, span)
    keep_zero = fixed is None and preset.percentiles is not None
    if keep_zero:
        found = _percentile_window(array, preset, exact=reference)
        fixed, keep_zero = found.window, found.keep_zero
        if found.signed:
            said = f"from {span[0]:g} to {span[1]:g}, below zero too: percentiles of all voxels but the background"
            why = f"{why or preset.title}, {said}"
        if fixed is None:
            constant = np.zeros(array.shape, np.uint8)
            return WindowedVolume(constant, None, f"{why or preset.title}; all voxels are equal, the image is black")
    scaling = _grey(array.dtype, preset, fixed, why, span, keep_zero=keep_zero)
    if reference and fixed is not None:
        return WindowedVolume(_scale_to_data(array, fixed, *span, keep_zero), fixed, scaling.description)
    return _scaled(array, scaling)


def scaling_of(
    dtype: np.dtype, *, colour: bool, window: WindowChoice, modality: str | None, value_range: ValueRange
) -> Scaling | None:
    """Return how `to_uint8` scales a volume of this type and range of values, without its voxels.

    None where the choice needs them all: percentiles, or a guess from values with fractions. Raises as `to_uint8`.
    """
    if colour:
        return _colour(dtype, window, value_range)

    def whole() -> bool:
        if dtype.kind != "f":
            return True
        raise _VoxelsNeeded

    try:
        preset, fixed, why = _choose(dtype, whole, window, modality, value_range)
    except _VoxelsNeeded:
        return None
    if fixed is None and preset.percentiles is not None:
        return None
    return _grey(dtype, preset, fixed, why, value_range)


def window_of(volume: NDArray, window: WindowChoice = "auto", *, modality: str | None = None) -> Window | None:
    """Return the window that `to_uint8` finds for a grey volume (z,y,x), which is not scaled. Raises as `to_uint8`."""
    array = np.asarray(volume)
    _require_image(array)
    preset, fixed, _ = _choose(array.dtype, lambda: _is_whole(array), window, modality, _finite_range(array))
    if fixed is None and preset.percentiles is not None:
        return _percentile_window(array, preset, exact=False).window
    return fixed


def range_in_steps(volume: NDArray) -> Iterator[ValueRange | None]:
    """Yield None for a few megabytes each, and last the range of the finite values of a volume.

    The range is (inf, -inf) where no value is finite. Values that are not real numbers raise `InputError`.
    """
    _require_image(volume)
    lowest, highest = math.inf, -math.inf
    for slab in _slabs(volume):
        values = slab[np.isfinite(slab)] if slab.dtype.kind == "f" else slab
        if values.size:
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
        yield None
    yield lowest, highest


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


def _require_image(array: NDArray) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"The image's values are of type {array.dtype}.", "Use real numbers.")
    if array.ndim not in (2, 3, 4) or (array.ndim == 4 and array.shape[-1] != 3):
        raise InputError(f"The image has the shape {array.shape}.", "Use z,y,x or z,y,x and three colours.")
    if array.size == 0:
        raise InputError("The image is empty.", "Use an image with at least one voxel.")


def _finite_range(array: NDArray) -> ValueRange:
    """Lowest and highest finite value. Raises `InputError` when there is none."""
    found = next(span for span in range_in_steps(array) if span is not None)
    if found[0] > found[1]:
        raise InputError("The image has no finite value.", "Repair or export it again.")
    return found


def _choose(
    dtype: np.dtype, whole: Callable[[], bool], window: WindowChoice, modality: str | None, span: ValueRange
) -> tuple[Preset, Window | None, str]:
    """Return the preset, its fixed window if it has one, and the reason if "auto" chose it.

    `whole()` tells whether all values are whole numbers.
    """
    choice = parse_window(window)
    if isinstance(choice, Window):
        return PRESETS["none"], choice, f"window {choice.level:g}/{choice.width:g}"
    if choice != "auto":
        preset = PRESETS[choice]
        return preset, preset.window, ""
    name, reason = _automatic(dtype, whole, modality, *span)
    preset = PRESETS[name]
    return preset, preset.window, f"auto: {preset.title} ({reason})"


def _automatic(
    dtype: np.dtype, whole: Callable[[], bool], modality: str | None, lowest: float, highest: float
) -> tuple[str, str]:
    kind = (modality or "").strip().upper()
    name = MODALITY_PRESETS.get(kind)
    window = PRESETS[name].window if name else None
    if window and (highest <= window.lo or lowest >= window.hi):
        return "grey", f"modality {kind}, but no voxel lies within the window"
    if window and highest - lowest < CT_CONTRAST:
        return "grey", f"modality {kind}, but the values span {highest - lowest:g} only"
    if dtype == np.uint8 and name in (None, "grey"):
        return "none", "8-bit image"
    return (name, f"modality {kind}") if name else _by_values(whole, lowest, highest)


def _by_values(whole: Callable[[], bool], lowest: float, highest: float) -> tuple[str, str]:
    if _like_ct(whole, lowest, highest):
        return "ct-abdomen", f"values from {lowest:g} to {highest:g}, as in CT"
    if lowest >= 0 and 200 < highest <= 255 and whole():
        return "none", "whole values within 0..255"
    return "mr", "no modality known"


def _like_ct(whole: Callable[[], bool], lowest: float, highest: float) -> bool:
    # Air is -1000 HU; scanners pad down to about -3024, which says nothing about how high bone must reach.
    if not (-3100 <= lowest <= -500 and highest > -0.5 * max(lowest, -1024.0)):
        return False
    # A phase image is negative too, but symmetric. Resampling leaves fractions and goes a little beyond air.
    return -highest != lowest if whole() else -1200 <= lowest <= -900 and abs(highest + lowest) > 100


def _is_whole(array: NDArray) -> bool:
    if array.dtype.kind != "f":
        return True
    sample = _sample(array)
    return bool(np.all(sample == np.rint(sample)))


def _sample(array: NDArray, limit: int = SAMPLE_VOXELS) -> NDArray:
    """Return the finite values, or evenly spread ones when there are more than `limit`."""
    flat = array.reshape(-1)[:: max(1, -(-array.size // limit))]
    return flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat


@dataclass(frozen=True)
class _Percentiles:
    """`window` is None when all voxels are equal; `keep_zero`: zero is background, which stays black; `signed`: voxels
    below zero were counted too."""

    window: Window | None
    keep_zero: bool
    signed: bool


def _percentile_window(array: NDArray, preset: Preset, *, exact: bool) -> _Percentiles:
    """Return the window between the preset's percentiles.

    They are those of the voxels above zero or, where the image is signed, as z-scoring leaves it, of all but the
    background. `exact` takes every voxel, and those above zero whatever the image is.
    """
    values = _sample(array, array.size if exact else SAMPLE_VOXELS)
    counted, keep_zero = values[values > 0], True
    signed = not exact and not preset.from_zero and _is_signed(values)
    if signed:
        background = _background(values)
        keep_zero = background == 0
        counted = values if background is None else values[values != background]
    if counted.size == 0:
        counted = values
    lo, hi = (float(v) for v in np.percentile(counted, preset.percentiles or (0.0, 100.0)))
    if preset.from_zero and hi > 0:
        lo = 0.0
    if lo >= hi:
        lo, hi = float(values.min()), float(values.max())
    return _Percentiles(Window(lo, hi) if lo < hi else None, keep_zero, signed)


def _is_signed(values: NDArray) -> bool:
    if values.min() >= 0:
        return False
    if np.count_nonzero(values < 0) < SIGNED_SHARE * np.count_nonzero(values):
        return False
    low, high = (float(v) for v in np.percentile(values, (1.0, 99.0)))
    return low < 0 and -low >= SIGNED_PART * high


def _background(values: NDArray) -> float | None:
    """Return the most common value where it is the background; else None."""
    few = values[:: max(1, values.size // FEW_VOXELS)]
    found, counts = np.unique(few, return_counts=True)
    most = int(counts.argmax())
    return float(found[most]) if counts[most] >= BACKGROUND_SHARE * few.size and found.size > 1 else None


def _grey(
    dtype: np.dtype, preset: Preset, fixed: Window | None, why: str, span: ValueRange, *, keep_zero: bool = False
) -> Scaling:
    if fixed is None:
        return _kept(dtype, span, why or preset.title)
    return Scaling(fixed, f"{why or preset.title} [{fixed.lo:g}, {fixed.hi:g}]", _to_window(dtype, fixed, keep_zero))


def _scaled(array: NDArray, scaling: Scaling) -> WindowedVolume:
    result = np.empty(array.shape, np.uint8)
    for source, target in zip(_slabs(array), _slabs(result), strict=True):
        target[...] = scaling.convert(source)
    return WindowedVolume(result, scaling.window, scaling.description)


def _to_window(dtype: np.dtype, window: Window, keep_zero: bool) -> Callable[[NDArray], NDArray[np.uint8]]:
    def scale(values: NDArray) -> NDArray:
        values = _finite(values, window.lo).astype(np.float64)
        scaled = (np.clip(values, window.lo, window.hi) - window.lo) * (255.0 / (window.hi - window.lo))
        if keep_zero:
            scaled[values == 0] = 0
        # Rounding of the product must not turn white into 254.
        return (np.minimum(scaled, 255.0) + 1e-9).astype(np.uint8)

    return _by_table(dtype, scale)


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
    """Apply `scale` to each voxel, slab by slab."""
    return _scaled(array, Scaling(None, "", _by_table(array.dtype, scale))).volume_u8


def _by_table(dtype: np.dtype, scale: Callable[[NDArray], NDArray]) -> Callable[[NDArray], NDArray[np.uint8]]:
    """Return `scale` through a table where the type has few values, once that many were asked for."""
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return scale
    limits = np.iinfo(dtype)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    table: NDArray[np.uint8] | None = None
    seen = 0

    def convert(values: NDArray) -> NDArray[np.uint8]:
        nonlocal table, seen
        seen += values.size
        if table is None and seen <= 1 << 16:
            return scale(values)
        if table is None:
            # Looked up as unsigned, a negative value v is found at v + 2**bits.
            table = np.roll(scale(np.arange(limits.min, limits.max + 1)), limits.min)
        return np.asarray(np.take(table, values.astype(unsigned, copy=False)))

    return convert


def _slabs(array: NDArray) -> Iterator[NDArray]:
    """Yield views of some slices of the first axis at a time."""
    step = max(1, SLAB_VOXELS * array.shape[0] // max(array.size, 1))
    for first in range(0, array.shape[0], step):
        yield array[first : first + step]


def _finite(values: NDArray, fill: float) -> NDArray:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return values
    return np.nan_to_num(values, nan=fill, posinf=fill, neginf=fill)


def _kept(dtype: np.dtype, span: ValueRange, why: str) -> Scaling:
    lowest, highest = span
    if dtype == np.bool_:
        return Scaling(None, "mask, as black and white", lambda values: values.astype(np.uint8) * 255)
    if lowest < 0 or highest > 255:
        raise InputError(
            f"The image's values run from {lowest:g} to {highest:g}, not within 0 to 255.",
            "Choose a window, or auto.",
        )
    return Scaling(None, why, _by_table(dtype, lambda values: _finite(values, lowest).astype(np.uint8)))


def _colour(dtype: np.dtype, window: WindowChoice, span: ValueRange) -> Scaling:
    lowest, highest = span
    choice = parse_window(window)
    if isinstance(choice, Window):
        words = f"colour, window {choice.level:g}/{choice.width:g} on each channel"
        return Scaling(choice, words, _to_window(dtype, choice, keep_zero=False))
    if choice not in ("auto", "rgb", "none"):
        raise UsageError(f"The preset {choice} is for grey images; this one is in colour.", "Use auto or rgb.")
    if lowest >= 0 and highest <= 255:
        return _kept(dtype, span, "colour, kept within 0..255")
    if choice == "none":
        return _kept(dtype, span, "")
    if lowest == highest:
        words = "colour; all voxels are equal, the image is black"
        return Scaling(None, words, lambda values: np.zeros(values.shape, np.uint8))
    wide = Window(lowest, highest)
    return Scaling(wide, f"colour [{lowest:g}, {highest:g}]", _to_window(dtype, wide, keep_zero=False))
