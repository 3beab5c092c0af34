"""The effect's texts, as Qt rich text with links that it understands itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from slicer.i18n import tr as _

from ...errors import (
    DamagedCheckpoint,
    GeometryError,
    MedSAMError,
    MissingCheckpoint,
    ModelError,
    PromptError,
    WorkerError,
)
from ...geometry import SlicePlane
from ...results import FLAG_AREA_JUMP, FLAG_EMPTY, FLAG_LOW_SCORE, FLAG_TWO_READINGS
from ...worker.memory import human_bytes
from ..objects.queue import ObjectState, QueuedObject, WrittenResult
from ..run.events import (
    Cancelling,
    Event,
    Failed,
    FirstLook,
    Message,
    PreviewCancelled,
    PreviewReady,
    Ready,
    RunCancelled,
    RunEstimate,
    RunIsOn,
    RunProgress,
    RunsOn,
    SliceWritten,
)

LINK_ALIGN = "align:"
LINK_PANEL = "panel:"
LINK_REPORT = "report:"
_SLICE = "slice"
LISTED_SLICES = 12
"""As many slices are linked for each reason; the key of the next flagged slice goes through all."""


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


def flag_titles() -> dict[str, str]:
    """Return why slices deserve a look, as the head of their list; the most telling reason first."""
    return {
        FLAG_TWO_READINGS: _("two readings of the box, press T for the other: {slices}"),
        FLAG_LOW_SCORE: _("low confidence: {slices}"),
        FLAG_AREA_JUMP: _("sudden change of area: {slices}"),
        FLAG_EMPTY: _("empty: {slices}"),
    }


def state_title(state: ObjectState) -> str:
    return {
        ObjectState.WAITING: _("waiting"),
        ObjectState.RUNNING: _("running"),
        ObjectState.DONE: _("done"),
        ObjectState.LOOK: _("done, review"),
        ObjectState.FAILED: _("failed"),
        ObjectState.CANCELLED: _("cancelled"),
        ObjectState.UNDONE: _("undone"),
    }[state]


def event_html(event: Event) -> str:
    """Return what the status line says of an event."""
    if isinstance(event, Failed):
        return error_html(event.error)
    if isinstance(event, RunCancelled):
        return cancelled_text(event.written, event.total, event.partial)
    return escape(_event_text(event))


def _event_text(event: Event) -> str:
    text = ""
    match event:
        case Message(sentence):
            text = sentence
        case Ready(waiting) if waiting:
            text = _("{n} object(s) wait. Press Propagate (P).").format(n=waiting)
        case Ready():
            text = _("Drag a box around the object on a slice, then press Propagate (P).")
        case RunsOn(server) if server:
            text = _("Running on {address} ...").format(address=server)
        case RunIsOn():
            text = _("A run is on. Wait for its end or cancel it.")
        case Cancelling():
            text = _("Cancelling ...")
        case PreviewCancelled():
            text = _("Cancelled.")
        case FirstLook(index):
            text = _("First look at slice {n}; looking closer ...").format(n=index)
        case PreviewReady():
            text = f"{event.remark} {_preview_text(event)}".strip()
        case SliceWritten(index):
            text = _("Slice {n} was written. Undo takes it back.").format(n=index)
    return text


def _preview_text(event: PreviewReady) -> str:
    """Return what a preview shows; where the box may mean two things there, which one it is."""
    text = _("Preview of slice {n}, confidence {score}. Press Propagate (P), or S to write this slice.")
    if event.readings > 1 and event.reading == 1:
        text = _(
            "Preview of slice {n}, confidence {score}; two readings: press T for the other. "
            "Press Propagate (P), or S to write this slice."
        )
    elif event.readings > 1:
        text = _(
            "Preview of slice {n}, confidence {score}; second reading, press T for the first. "
            "Press Propagate (P), or S to write this slice."
        )
    elif event.reading > 1:
        text = _(
            "Preview of slice {n}, confidence {score}; no second reading on this slice, press T for the first. "
            "Press Propagate (P), or S to write this slice."
        )
    return text.format(n=event.index, score=f"{event.score:.2f}")


def progress_text(progress: RunProgress) -> str:
    """Return what the progress bar says: slices done, time left, and which object of several it is."""
    text = time_left_text(progress.done, progress.total, progress.seconds)
    if progress.objects < 2:
        return text
    pattern = _("Object {n} of {total}: {slices} for it")
    return pattern.format(n=progress.position, total=progress.objects, slices=text)


def error_html(error: MedSAMError) -> str:
    """One sentence that says what is wrong, one that says what to do, and links to what helps."""
    text = f"<b>{escape(error.message)}</b> {escape(remedy_of(error))}".strip()
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
    """Return what a cancelled run left in the segments."""
    if total > 1:
        text = _("Cancelled. {n} of {total} objects were written.").format(n=written, total=total)
        return text + " " + _("Of one only the slices done were kept.") if partial else text
    return _("Cancelled. The slices done were kept.") if partial else _("Cancelled. The segment is as it was.")


def results_html(rows: Iterable[QueuedObject]) -> str:
    """Volume, diameters and flagged slices of each object that has a result."""
    return "<br>".join(_result_line(item, item.result) for item in rows if item.result is not None)


def volume_text(result: WrittenResult) -> str:
    if result.measurement is None:
        return _("measuring ...")
    if not result.spacing_known:
        return _("{n} voxels").format(n=result.measurement.voxels)
    return _("{volume} mL").format(volume=_rounded(result.measurement.volume_ml))


def diameters_text(result: WrittenResult) -> str:
    """Return longest diameter × perpendicular. For a lesion these are the diameters of RECIST 1.1."""
    measured = result.measurement
    if not result.spacing_known or measured is None or measured.longest is None or measured.perpendicular is None:
        return ""
    return f"{measured.longest.millimetres:.1f} × {measured.perpendicular.millimetres:.1f} mm"


def diameters_tip(result: WrittenResult) -> str:
    """Return what the diameters are and where they were measured; "" without them."""
    text = diameters_text(result)
    if not text or result.measurement is None:
        return ""
    pattern = _("Longest diameter × perpendicular on slice {n}: {diameters}.")
    return pattern.format(n=result.measurement.index, diameters=text)


def _result_line(item: QueuedObject, result: WrittenResult) -> str:
    measured = result.measurement
    parts = [f"<b>{escape(item.name)}</b>: {volume_text(result)}"]
    if measured is not None and measured.index is not None and result.spacing_known:
        where = SliceLink(item.number, SlicePlane(measured.axis, measured.index))
        parts.append(_link(str(where), diameters_text(result)))
    if result.assessment == "doubtful":
        parts.append(_("<b>doubtful</b>, check every slice"))
    parts.extend(_remarks(result))
    line = "; ".join(parts)
    if not result.flagged:
        return line
    reasons = "; ".join(_flagged_slices(item.number, result))
    return f"{line}<br>" + _("Slices to look at ({reasons})").format(reasons=reasons)


def _flagged_slices(number: int, result: WrittenResult) -> Iterator[str]:
    """Yield each reason with links to its slices; of many the first only."""
    for flag, pattern in flag_titles().items():
        found = sorted(n for n, score in result.flagged.items() if flag in score.flags)
        if not found:
            continue
        links = [_link(str(SliceLink(number, SlicePlane(result.axis, n))), str(n)) for n in found[:LISTED_SLICES]]
        if len(found) > LISTED_SLICES:
            links.append(_("{n} more").format(n=len(found) - LISTED_SLICES))
        yield pattern.format(slices=", ".join(links))


def _remarks(result: WrittenResult) -> list[str]:
    remarks = []
    if not result.spacing_known:
        remarks.append(_("no spacing: mm and mL mean nothing; Volumes, Volume Information sets it"))
    if result.masked_voxels:
        remarks.append(_("{n} voxels left out by Masking").format(n=result.masked_voxels))
    if result.outside_voxels:
        remarks.append(_("{n} voxels beyond the segmentation's geometry").format(n=result.outside_voxels))
    if result.interpolated:
        remarks.append(_("resampled to the segmentation's grid"))
    return remarks


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
    """Return what the run takes at most; a second sentence where the memory is not enough, with what to do."""
    text = _("At most {n} slice(s).").format(n=estimate.slices)
    if estimate.seconds is not None:
        pattern = _("At most {n} slice(s), {time} or more.") if estimate.or_more else _("At most {n} slice(s), {time}.")
        text = pattern.format(n=estimate.slices, time=duration_text(estimate.seconds))
    if estimate.free_bytes is None or not estimate.memory_is_short:
        return text
    short = _("{free} of memory are free, {model} with these slices needs {needed}: choose fewer, or another model.")
    sizes = {"free": human_bytes(estimate.free_bytes), "needed": human_bytes(estimate.needed_bytes)}
    return f"{text} <b>{escape(short.format(model=estimate.model, **sizes))}</b>"


def server_html(address: str) -> str:
    """Return that a server computes, and where that can be changed."""
    text = _("Runs on {address}: the images are sent there.").format(address=address)
    return f"{escape(text)} {_link(LINK_PANEL, _('Change'))}"


def remedy_of(error: MedSAMError) -> str:
    """The cure by the error's type, which crosses process boundaries as its code; else the error's own."""
    if isinstance(error, MissingCheckpoint):
        return _("Press Download in Models and settings, or Import from file for a file that you have.")
    if isinstance(error, DamagedCheckpoint):
        return _("Press Remove, then Download, in Models and settings.")
    return error.cure
