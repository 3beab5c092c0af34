"""A volume open in the worker: the session API with callbacks, in the indices of the whole volume.

Only the slices of the range are sent, a slice that is asked for before the others. The volume is opened again by itself
when the worker was replaced, or when a request needs slices beyond the range; otherwise only prompts travel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import InputError, MedSAMError
from ..geometry import axis_from_name
from ..intensity import Window, window_of
from ..prompts import Box, Line, MaskPrompt, ObjectPrompts, Prompt
from ..results import Progress, Segmentation3D, SliceResult
from .client import WorkerClient
from .frames import Frame
from .memory import available_bytes, check_volume_fits
from .pending import Pending
from .protocol import CloseVolume, OpenVolume, Propagate, SegmentSlice
from .volume_stream import VolumeStream
from .wire_masks import decode_segmentation, decode_slice
from .wire_prompts import Shape3, shift_prompt

_SESSION_NUMBERS = itertools.count(1)

OnError = Callable[[MedSAMError], None]
OnProgress = Callable[[Progress], None]


class RemoteVolume:
    """`volume_zyx` (z,y,x[,3]) with a model, as `inference.open_session` takes them; `options` are its options.

    `slice_range` (first, last) across `axis` is the part that is sent; None sends all. The array is kept, not copied:
    it must not change while the volume is open.
    """

    def __init__(
        self,
        client: WorkerClient,
        model: str,
        volume_zyx: NDArray,
        spacing_zyx: tuple[float, float, float] = (1.0, 1.0, 1.0),
        *,
        axis: int | str = 0,
        slice_range: tuple[int, int] | None = None,
        memory: Callable[[], int | None] = available_bytes,
        on_opened: Callable[[dict[str, Any]], None] | None = None,
        **options: Any,
    ) -> None:
        self._client = client
        self._model = model
        self._volume = volume_zyx
        self._spacing = spacing_zyx
        self._memory = memory
        self._on_opened = on_opened
        self._options = _plain_options(options)
        self._stream: VolumeStream | None = None
        self._generation = -1
        self._opening: Pending[dict[str, Any]] | None = None
        if volume_zyx.ndim not in (3, 4) or min(volume_zyx.shape) < 1:
            raise InputError(f"The array has the shape {volume_zyx.shape}.", "Give z,y,x, or z,y,x,3 for colour.")
        self.shape_zyx: Shape3 = volume_zyx.shape[:3]
        self._whole = tuple((0, n - 1) for n in self.shape_zyx)
        self._part = self._whole
        if slice_range is not None:
            self._part = self._part_of(axis_from_name(axis), *slice_range)

    @property
    def offset_zyx(self) -> Shape3:
        """The first voxel of the part that the worker holds."""
        k, j, i = (first for first, _ in self._part)
        return (k, j, i)

    def open(self, on_error: OnError | None = None) -> Pending[dict[str, Any]]:
        """Open now instead of with the first request. The result names `device` and `window`.

        Raises `InputError` when the memory is not enough, `WorkerError` when the worker cannot start.
        """
        if self._is_open() and self._opening is not None:
            return self._opening
        return self._open(on_error)

    def segment_slice(
        self,
        axis: int | str,
        index: int,
        prompts: ObjectPrompts,
        *,
        reading: int = 1,
        on_first_look: Callable[[SliceResult], None] | None = None,
        on_done: Callable[[SliceResult], None] | None = None,
        on_error: OnError | None = None,
    ) -> Pending[SliceResult]:
        """Segment one object on one slice; as `VolumeSession.segment_slice`."""
        along = axis_from_name(axis)
        together = list(prompts) if isinstance(prompts, Sequence) else [prompts]
        self._ensure(along, index, index, together)
        offset = self.offset_zyx
        stream, at = self._open_stream, index - offset[along]
        shifted, decode = self._shifted(together), self._slice_decoder(offset)
        request = SegmentSlice(stream.session, along, at, shifted, reading, first_look=on_first_look is not None)
        pending = Pending(
            request, decode, on_done=on_done, on_error=on_error, on_slice=on_first_look, decode_slice=decode
        )
        outbox = self._client.outbox()
        if stream.opened:
            outbox.add_urgent_steps(stream.session, stream.slice_first(along, at))
            return self._client.submit(pending)
        outbox.add_steps(stream.session, stream.slice_first(along, at))
        return self._client.submit_behind(stream.session, pending, all_parts=False)

    def propagate(
        self,
        objects: Sequence[ObjectPrompts],
        *,
        axis: int | str = 0,
        slice_range: tuple[int, int] | None = None,
        on_slice: Callable[[SliceResult], None] | None = None,
        on_progress: OnProgress | None = None,
        on_done: Callable[[Segmentation3D], None] | None = None,
        on_error: OnError | None = None,
        **options: Any,
    ) -> Pending[Segmentation3D]:
        """Segment all objects in 3D; as `VolumeSession.propagate`, whose further options are `options`.

        `on_progress` also hears of the opening of the volume, where that comes first (with a total of 0).
        """
        along = axis_from_name(axis)
        listed = [list(prompts) if isinstance(prompts, Sequence) else [prompts] for prompts in objects]
        first, last = slice_range or self._extent(listed, along)
        self._ensure(along, first, last, list(itertools.chain.from_iterable(listed)), on_progress)
        offset = self.offset_zyx
        plain = {**_plain_options(options), "axis": along}
        if slice_range is not None:
            plain["slice_range"] = [first - offset[along], last - offset[along]]
        session = self._open_stream.session
        request = Propagate(session, [self._shifted(p) for p in listed], plain, slices=on_slice is not None)
        shape = self.shape_zyx
        return self._client.submit_behind(
            session,
            Pending(
                request,
                lambda frame: decode_segmentation(frame.header, frame.arrays, offset, shape),
                on_done=on_done,
                on_error=on_error,
                on_progress=on_progress,
                on_slice=on_slice,
                decode_slice=self._slice_decoder(offset),
            ),
        )

    def cancel(self, pending: Pending[Any]) -> None:
        """Stop a request; see `WorkerClient.cancel`."""
        self._client.cancel(pending)

    def close(self) -> None:
        """Free the volume in the worker, if it is still there, behind the requests that wait for it."""
        stream, is_open = self._stream, self._is_open()
        # The request that opened it knows it: without this circle the voxels are free as soon as nobody wants them.
        self._opening = None
        if stream is not None and is_open:
            outbox = self._client.outbox()
            closing: Pending[None] = Pending(CloseVolume(stream.session), lambda frame: None)
            if outbox.waits(stream.session):
                self._client.submit_behind(stream.session, closing)
            else:
                stream.stop()
                outbox.drop_steps(stream.session)
                self._client.submit(closing)
        self._stream = None

    @property
    def _open_stream(self) -> VolumeStream:
        assert self._stream is not None
        return self._stream

    def _is_open(self) -> bool:
        if self._opening is not None and self._opening.over and self._opening.error is not None:
            return False
        return self._stream is not None and self._client.running and self._generation == self._client.generation

    def _ensure(
        self, axis: int, first: int, last: int, prompts: Sequence[Prompt], on_progress: OnProgress | None = None
    ) -> None:
        lower, upper = self._part[axis]
        first, last = max(first, 0), min(last, self.shape_zyx[axis] - 1)
        inside = lower <= first and last <= upper and all(self._holds(prompt) for prompt in prompts)
        if not inside:
            self.close()
            self._part = self._whole
        self._client.prepare()
        if not self._is_open():
            self._open(None, on_progress)

    def _holds(self, prompt: Prompt) -> bool:
        """Return whether the prompt means the same in the part: a box that is cut would have another middle slice."""
        if isinstance(prompt, MaskPrompt):
            uncut = all(self._part[a] == self._whole[a] for a in range(3) if a != prompt.axis)
            lower, upper = self._part[prompt.axis]
            return uncut and lower <= prompt.index <= upper
        spans: Sequence[tuple[float, float]]
        if isinstance(prompt, Box):
            spans = prompt.fitted(self.shape_zyx).bounds_zyx
        else:
            points = prompt.points if isinstance(prompt, Line) else (prompt,)
            spans = [(min(values), max(values)) for values in zip(*(p.zyx for p in points), strict=True)]
        held = zip(spans, self._part, strict=True)
        return all(lower - 0.5 <= first and last < upper + 0.5 for (first, last), (lower, upper) in held)

    def _open(self, on_error: OnError | None, on_progress: OnProgress | None = None) -> Pending[dict[str, Any]]:
        stream = self._new_stream()
        check_volume_fits(stream.nbytes, stream.voxels, self._memory(), copies=2)

        def failed(error: MedSAMError) -> None:
            stream.stop()
            if on_error is not None:
                on_error(error)

        pending = Pending(
            lambda: self._open_request(stream),
            lambda frame: frame.header,
            on_done=self._on_opened,
            on_error=failed,
            on_progress=on_progress,
        )
        outbox = self._client.outbox()
        outbox.add_steps(stream.session, stream.before_open())
        self._stream = stream
        self._opening = self._client.submit_behind(stream.session, pending)
        outbox.add_steps(stream.session, stream.after_open(), rest=True)
        self._generation = self._client.generation
        return self._opening

    def _new_stream(self) -> VolumeStream:
        choice = (self._options.get("window", "auto"), self._options.get("modality"))
        usual = self._options.get("mode", "default") == "default"
        return VolumeStream(next(_SESSION_NUMBERS), self._volume, self._part, choice, known=usual)

    def _open_request(self, stream: VolumeStream) -> OpenVolume:
        stream.opened = True
        options = dict(self._options)
        if stream.value_range is None and stream.shape[:3] != self.shape_zyx:
            options["window"] = self._whole_window()
        return OpenVolume(
            stream.session,
            self._model,
            stream.shape,
            stream.dtype.name,
            self._spacing,
            options,
            stream.value_range,
        )

    def _whole_window(self) -> Any:
        """Return the window of the whole volume: one found from the intensities must not be found from the part
        alone."""
        given = self._options.get("window", "auto")
        if self._volume.ndim == 4:
            return given
        found = window_of(
            self._volume, tuple(given) if isinstance(given, list) else given, modality=self._options.get("modality")
        )
        if found is not None:
            return [found.lo, found.hi]
        # Without a window the values were kept, or all are equal; then those of the part are, too.
        return given if self._volume.min() == self._volume.max() else "none"

    def _extent(self, objects: Sequence[Sequence[Prompt]], axis: int) -> tuple[int, int]:
        """Return the slices that a run without a range may reach: those of 3D boxes, else all."""
        reach: list[int] = []
        for prompts in objects:
            spans = [p.along(axis) for p in prompts if isinstance(p, Box) and p.along(axis)[0] != p.along(axis)[1]]
            if not spans:
                return self._whole[axis]
            reach.extend(n for span in spans for n in span)
        return (min(reach, default=0), max(reach, default=0))

    def _part_of(self, axis: int, first: int, last: int) -> tuple[tuple[int, int], ...]:
        lower, upper = max(int(first), 0), min(int(last), self.shape_zyx[axis] - 1)
        if lower > upper:
            raise InputError(f"The slices {first} to {last} are not in the volume.", "Give slices of the volume.")
        return tuple((lower, upper) if a == axis else bounds for a, bounds in enumerate(self._whole))

    def _shifted(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        k, j, i = (last - first + 1 for first, last in self._part)
        return [shift_prompt(prompt.fitted(self.shape_zyx), self.offset_zyx, (k, j, i)) for prompt in prompts]

    def _slice_decoder(self, offset: Shape3) -> Callable[[Frame], SliceResult]:
        shape = self.shape_zyx
        return lambda frame: decode_slice(frame.header, frame.arrays, offset, shape)


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as JSON: paths as text, windows as two numbers, small dataclasses as fields; None is left
    out."""
    plain: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Window):
            plain[name] = [value.lo, value.hi]
        elif is_dataclass(value) and not isinstance(value, type):
            plain[name] = asdict(value)
        elif isinstance(value, Path):
            plain[name] = str(value)
        elif isinstance(value, tuple):
            plain[name] = list(value)
        elif value is not None:
            plain[name] = value
    return plain
