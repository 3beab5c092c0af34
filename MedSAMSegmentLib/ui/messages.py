"""Messages of the effect, as Qt rich text with links that it understands itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from slicer.i18n import tr as _

from ..errors import GeometryError, MedSAMError, ModelError, PromptError, WorkerError
from ..results import FLAG_AREA_JUMP, FLAG_EMPTY, FLAG_LOW_SCORE
from ..worker.memory import human_bytes
from .cures import cure_of
from .lesion_queue import Lesion, LesionResult, LesionState
from .run_estimate import RunEstimate
from .slice_plane import SlicePlane

LINK_ALIGN = "align:"
LINK_PANEL = "panel:"
LINK_REPORT = "report:"
_SLICE = "slice"


@dataclass(frozen=True)
class SliceLink:
    """A link that jumps to a slice of the object with this `number`."""

    number: int
    plane: SlicePlane

    def __str__(self) -> str:
        return f"{_SLICE}:{self.number}:{self.plane.axis}:{self.plane.index}"


def parse_slice_link(link: str) -> SliceLink | None:
    kind, *numbers = link.split(":")
    if kind != _SLICE or len(numbers) != 3 or not all(n.isdigit() for n in numbers):
        return None
    number, axis, index = (int(n) for n in numbers)
    return SliceLink(number, SlicePlane(axis, index))


def flag_title(flag: str) -> str:
    titles = {
        FLAG_EMPTY: _("empty"),
        FLAG_AREA_JUMP: _("area changes suddenly"),
        FLAG_LOW_SCORE: _("low confidence"),
    }
    return titles.get(flag, flag)


def state_title(state: LesionState) -> str:
    return {
        LesionState.WAITING: _("waiting"),
        LesionState.RUNNING: _("running"),
        LesionState.DONE: _("done"),
        LesionState.LOOK: _("done, have a look"),
        LesionState.FAILED: _("failed"),
        LesionState.CANCELLED: _("cancelled"),
        LesionState.UNDONE: _("undone"),
    }[state]


def error_html(error: MedSAMError) -> str:
    """One sentence that says what is wrong, one that says what to do, and links to what helps."""
    text = f"<b>{escape(error.message)}</b> {escape(cure_of(error))}".strip()
    links = []
    if isinstance(error, GeometryError):
        links.append(_link(LINK_ALIGN, _("Align the views")))
    if isinstance(error, (ModelError, WorkerError)):
        links.append(_link(LINK_PANEL, _("Models and settings")))
    if not isinstance(error, PromptError):
        # A prompt that does not fit is the user's own; all else may be a fault.
        links.append(_link(LINK_REPORT, _("Copy report")))
    return " ".join([text, " · ".join(links)]).strip()


def cancelled_text(written: int, total: int, partial: bool) -> str:
    """Say what a cancelled run left in the segments."""
    if total > 1:
        text = _("Cancelled. {n} of {total} objects were written.").format(n=written, total=total)
        return text + " " + _("Of one only the slices done were kept.") if partial else text
    return _("Cancelled. The slices done were kept.") if partial else _("Cancelled. The segment is as it was.")


def results_html(rows: Iterable[Lesion]) -> str:
    """Volume, diameters and flagged slices of each object that has a result."""
    return "<br>".join(_result_line(lesion, lesion.result) for lesion in rows if lesion.result is not None)


def volume_text(result: LesionResult) -> str:
    if result.measurement is None:
        return _("measuring ...")
    return _("{volume} mL").format(volume=_rounded(result.measurement.volume_ml))


def diameters_text(result: LesionResult) -> str:
    """RECIST: the longest diameter and the one across it."""
    measured = result.measurement
    if measured is None or measured.longest is None or measured.perpendicular is None:
        return ""
    return f"{measured.longest.millimetres:.1f} × {measured.perpendicular.millimetres:.1f} mm"


def _result_line(lesion: Lesion, result: LesionResult) -> str:
    measured = result.measurement
    parts = [f"<b>{escape(lesion.name)}</b>: {volume_text(result)}"]
    if measured is not None and measured.index is not None:
        where = SliceLink(lesion.number, SlicePlane(measured.axis, measured.index))
        parts.append(_link(str(where), diameters_text(result)))
    if result.flagged:
        links = [
            _link(str(SliceLink(lesion.number, SlicePlane(result.axis, n))), f"{n} ({_flags(score.flags)})")
            for n, score in sorted(result.flagged.items())
        ]
        parts.append(_("slices to look at: {slices}").format(slices=", ".join(links)))
    parts.extend(_remarks(result))
    return "; ".join(parts)


def _remarks(result: LesionResult) -> list[str]:
    remarks = []
    if result.masked_voxels:
        remarks.append(_("{n} voxels left out by Masking").format(n=result.masked_voxels))
    if result.outside_voxels:
        remarks.append(_("{n} voxels beyond the segmentation's geometry").format(n=result.outside_voxels))
    if result.interpolated:
        remarks.append(_("resampled to the segmentation's grid"))
    return remarks


def _flags(flags: Sequence[str]) -> str:
    return ", ".join(flag_title(flag) for flag in flags)


def _link(target: str, text: str) -> str:
    return f'<a href="{target}">{escape(text)}</a>'


def _rounded(millilitres: float) -> str:
    return f"{millilitres:.3f}" if millilitres < 1 else f"{millilitres:.1f}"


def time_left_text(done: int, total: int, seconds: float) -> str:
    """Slices done, and the time left when enough is known to say it."""
    text = _("{done} of {total} slices").format(done=done, total=total)
    if done < 2 or done >= total or seconds <= 0:
        return text
    left = _("{time} left").format(time=duration_text(seconds / done * (total - done)))
    return f"{text}, {left}"


def duration_text(seconds: float) -> str:
    """ "40 s", "12 min" or "3 h": as exact as an estimate deserves."""
    if seconds < 90:
        return _("{n} s").format(n=max(round(seconds), 1))
    if seconds < 90 * 60:
        return _("{n} min").format(n=round(seconds / 60))
    return _("{n} h").format(n=round(seconds / 3600))


def estimate_html(estimate: RunEstimate) -> str:
    """Say what the run takes at most; a second sentence where the memory is not enough, with what to do."""
    text = _("At most {n} slice(s).").format(n=estimate.slices)
    if estimate.seconds is not None:
        pattern = _("At most {n} slice(s), {time} or more.") if estimate.or_more else _("At most {n} slice(s), {time}.")
        text = pattern.format(n=estimate.slices, time=duration_text(estimate.seconds))
    if estimate.free_bytes is None or not estimate.memory_is_short:
        return text
    short = _("{free} of memory are free, {model} with these slices needs {needed}: choose fewer, or another model.")
    sizes = {"free": human_bytes(estimate.free_bytes), "needed": human_bytes(estimate.needed_bytes)}
    return f"{text} <b>{escape(short.format(model=estimate.model, **sizes))}</b>"
