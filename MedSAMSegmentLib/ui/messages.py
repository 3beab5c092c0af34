"""What the effect says, as Qt rich text with links that it understands itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from slicer.i18n import tr as _

from ..errors import GeometryError, MedSAMError, ModelError, WorkerError
from ..results import FLAG_AREA_JUMP, FLAG_EMPTY, FLAG_LOW_SCORE
from .lesion_queue import Lesion, LesionResult, LesionState
from .slice_plane import SlicePlane

LINK_ALIGN = "align:"
LINK_PANEL = "panel:"
LINK_REPORT = "report:"
_SLICE = "slice"


@dataclass(frozen=True)
class SliceLink:
    """A link that jumps to a slice of the lesion in row `row`."""

    row: int
    plane: SlicePlane

    def __str__(self) -> str:
        return f"{_SLICE}:{self.row}:{self.plane.axis}:{self.plane.index}"


def parse_slice_link(link: str) -> SliceLink | None:
    kind, *numbers = link.split(":")
    if kind != _SLICE or len(numbers) != 3 or not all(n.isdigit() for n in numbers):
        return None
    row, axis, index = (int(n) for n in numbers)
    return SliceLink(row, SlicePlane(axis, index))


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
    }[state]


def error_html(error: MedSAMError) -> str:
    """One sentence that says what is wrong, one that says what to do, and links to what helps."""
    text = f"<b>{escape(error.message)}</b> {escape(error.cure)}".strip()
    links = []
    if isinstance(error, GeometryError):
        links.append(_link(LINK_ALIGN, _("Align the views")))
    if isinstance(error, (ModelError, WorkerError)):
        links.append(_link(LINK_PANEL, _("Models and settings")))
        links.append(_link(LINK_REPORT, _("Copy report")))
    return " ".join([text, " · ".join(links)]).strip()


def results_html(rows: Sequence[tuple[int, Lesion]]) -> str:
    """Volume, diameters and flagged slices of each lesion; `rows` pairs its row number with the lesion."""
    return "<br>".join(_result_line(row, lesion, lesion.result) for row, lesion in rows if lesion.result is not None)


def volume_text(result: LesionResult) -> str:
    return _("{volume} mL").format(volume=_rounded(result.measurement.volume_ml))


def diameters_text(result: LesionResult) -> str:
    """RECIST: the longest diameter and the one across it."""
    measured = result.measurement
    if measured.longest is None or measured.perpendicular is None:
        return ""
    return f"{measured.longest.millimetres:.1f} × {measured.perpendicular.millimetres:.1f} mm"


def _result_line(row: int, lesion: Lesion, result: LesionResult) -> str:
    measured = result.measurement
    parts = [f"<b>{escape(lesion.name)}</b>: {volume_text(result)}"]
    if measured.index is not None:
        where = SliceLink(row, SlicePlane(measured.axis, measured.index))
        parts.append(_link(str(where), diameters_text(result)))
    if result.flagged:
        links = [
            _link(str(SliceLink(row, SlicePlane(measured.axis, n))), f"{n} ({_flags(score.flags)})")
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
    left = seconds / done * (total - done)
    unit = _("{n} s left").format(n=round(left)) if left < 90 else _("{n} min left").format(n=round(left / 60))
    return f"{text}, {unit}"
