"""Follow objects from frame to frame with a memory: MedSAM2, SAM 2.1 and EfficientTAM on slices or a video.

The steps are those of the official video predictors; `TrackerOptions` says where the defaults depart from them.
Frames are whole numbers from 0; what they show is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import Cancelled, PromptError, UsageError
from ..models.sam2 import MemorySteps, PointPrompt, Sam2
from .frame_features import FrameFeatures
from .frame_preprocessing import network_mask, point_prompt
from .memory_bank import BACKWARD, FORWARD, FrameMemory
from .object_track import ObjectTrack
from .tracker_options import TrackerOptions

ObjectId: TypeAlias = Hashable
FrameSource: TypeAlias = Callable[[int], FrameFeatures]

OVERLAP_LOGIT = -10.0


@dataclass(frozen=True, eq=False)
class ObjectOnFrame:
    """One object on one frame: `mask` (H,W) bool, `low_res_logits` (h,w) float32.

    `iou` is the predicted quality of the mask, `ious` those of all candidates, `object_score` a logit: positive means
    present. `prompted`: the user's prompt stands here. `attended` = (memory tokens, object pointer tokens).
    """

    mask: NDArray[np.bool_]
    low_res_logits: NDArray[np.float32]
    iou: float
    ious: tuple[float, ...]
    object_score: float
    prompted: bool
    attended: tuple[int, int]

    @property
    def confidence(self) -> float:
        """The predicted IoU, 0 when the object is absent."""
        return self.iou if self.object_score > 0 else 0.0


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """All objects that were tracked on frame `index`."""

    index: int
    objects: Mapping[ObjectId, ObjectOnFrame]


StopPredicate: TypeAlias = Callable[[ObjectId, ObjectOnFrame], bool]


class MemoryTracker:
    """Objects on `num_frames` frames of `frame_shape` (rows, columns), whose features `frames(index)` gives.

    Features belong to the caller, who may cache them: the tracker asks once for a frame on which it works, whatever
    the number of objects. `dtype` is that of the autocast region around what makes and reads memories; `steps` runs
    parts of the model elsewhere (None: the model itself).
    """

    def __init__(
        self,
        model: Sam2,
        frames: FrameSource,
        num_frames: int,
        frame_shape: tuple[int, int],
        options: TrackerOptions | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        steps: MemorySteps | None = None,
    ) -> None:
        self.model = model
        self.frames = frames
        self.num_frames = num_frames
        self.frame_shape = frame_shape
        self.options = options or TrackerOptions()
        self.dtype = dtype
        self.steps = steps or model.steps
        self._tracks: dict[ObjectId, ObjectTrack] = {}

    @property
    def object_ids(self) -> list[ObjectId]:
        """In order of their first prompt."""
        return list(self._tracks)

    def key_frames(self, object_id: ObjectId) -> list[int]:
        """Return the frames that carry a prompt of the object or that act as one, sorted."""
        track = self._track(object_id)
        return sorted({*track.bank.conditioning, *track.pending})

    def remembered(self, object_id: ObjectId, frame: int) -> FrameMemory | None:
        """Return the latest output of the object on the frame, with its pointer and, after a pass, its memory."""
        return self._track(object_id).latest(frame)

    def reset(self) -> None:
        """Forget all objects."""
        self._tracks.clear()

    @torch.inference_mode()
    def add_points(
        self,
        object_id: ObjectId,
        frame: int,
        points_xy: NDArray | Sequence[Sequence[float]] | None = None,
        labels: NDArray | Sequence[int] | None = None,
        box_xyxy: Sequence[float] | None = None,
        *,
        keep_earlier: bool = True,
    ) -> ObjectOnFrame:
        """Add clicks (n,2) x, y with labels (1 inside, 0 outside) and a box, in the frame's own pixels, inclusive
        maxima.

        They join the earlier clicks on this frame unless `keep_earlier` is false; a box starts afresh. The answer
        comes at once and enters the memory at the next `propagate`. Raises `PromptError`.
        """
        prompt = point_prompt(self.frame_shape, self.model.image_size, points_xy, labels, box_xyxy)
        prompt = PointPrompt(prompt.points.to(self.model.device), prompt.labels.to(self.model.device))
        features = self._features(frame)
        track = self._track_or_new(object_id)
        entry = track.answer_points(frame, features, prompt, keep_earlier and box_xyxy is None)
        return self._on_frame({object_id: entry})[object_id]

    @torch.inference_mode()
    def add_mask(self, object_id: ObjectId, frame: int, mask: NDArray[np.bool_]) -> ObjectOnFrame:
        """Take a mask (H,W), for example edited by hand, as the object on this frame. Raises `PromptError`.

        The answer is the mask at the resolution of the network's output, so its edge may differ by a pixel.
        """
        if mask.shape != self.frame_shape:
            raise PromptError(
                f"The mask has {mask.shape} rows and columns, the frame {self.frame_shape}.",
                "Give it on the frame's grid.",
            )
        network = network_mask(mask, self.model.image_size).to(self.model.device)
        entry = self._track_or_new(object_id).answer_mask(frame, self._features(frame), network)
        return self._on_frame({object_id: entry})[object_id]

    def propagate(
        self,
        direction: int = FORWARD,
        *,
        start: int | None = None,
        stop: int | None = None,
        extents: Mapping[ObjectId, tuple[int, int]] | None = None,
        should_stop: StopPredicate | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Iterator[TrackedFrame]:
        """Track from `start` (default: each object's earliest key frame) to `stop` (default: the end), both included.

        Yields each frame as soon as it is done, key frames with the mask they have. `direction` is +1 or -1.
        `extents` names the objects to track and the first and last frame of each; without it all are tracked.
        `should_stop(object_id, result)` true ends an object before that frame, until its next key frame. `cancel` is
        asked before every frame; when it says true, `Cancelled` is raised.
        Raises `PromptError` without any prompt, `UsageError` for a wrong direction or frame.
        """
        if direction not in (FORWARD, BACKWARD):
            raise UsageError(f"The direction is {direction}.", "Use 1 or -1.")
        if not self._tracks:
            raise PromptError("There is nothing to track.", "Give a prompt first.")
        self._settle_pending()
        first = {object_id: self._first_frame(track, start) for object_id, track in self._tracks.items()}
        ended: set[ObjectId] = set()
        for frame in self._route(first, direction, stop):
            if cancel is not None and cancel():
                raise Cancelled()
            here = [
                object_id
                for object_id, track in self._tracks.items()
                if self._takes_part(track, frame, direction, first[object_id])
                and (extents is None or _within(frame, extents.get(object_id)))
            ]
            ended -= {object_id for object_id in here if self._tracks[object_id].held(frame, direction)}
            active = [object_id for object_id in here if object_id not in ended]
            if here and not active and not self._key_ahead(frame, direction, stop):
                return
            tracked = self._advance(frame, direction, active)
            if should_stop is not None:
                over = {i for i, result in tracked.objects.items() if not result.prompted and should_stop(i, result)}
                ended |= over
                tracked = TrackedFrame(frame, {i: r for i, r in tracked.objects.items() if i not in over})
            if tracked.objects:
                yield tracked

    @torch.inference_mode()
    def _advance(self, frame: int, direction: int, object_ids: Sequence[ObjectId]) -> TrackedFrame:
        entries: dict[ObjectId, FrameMemory] = {}
        features: FrameFeatures | None = None
        for object_id in object_ids:
            track = self._tracks[object_id]
            entry = track.held(frame, direction)
            if entry is None:
                features = features or self._features(frame)
                entry = track.track(frame, features, direction)
            track.bank.visited[frame] = direction
            entries[object_id] = entry
        return TrackedFrame(frame, self._on_frame(entries))

    @torch.inference_mode()
    def _settle_pending(self) -> None:
        """Encode the memory of frames that got a prompt since the last pass."""
        if self.options.shared_conditioning:
            self._share_pending()
        for frame in dict.fromkeys(frame for track in self._tracks.values() for frame in track.pending):
            features = self._features(frame)
            for track in self._tracks.values():
                if frame in track.pending:
                    track.settle(frame, features, track.pending.pop(frame))

    def _share_pending(self) -> None:
        frames = sorted({frame for track in self._tracks.values() for frame in track.pending})
        for track in self._tracks.values():
            shared = {frame: track.latest(frame) or track.placeholder() for frame in frames}
            track.pending = {frame: replace(entry, prompted=True) for frame, entry in shared.items()}

    def _first_frame(self, track: ObjectTrack, start: int | None) -> int:
        if start is not None:
            if not 0 <= start < self.num_frames:
                raise UsageError(f"The frame {start} is outside 0 to {self.num_frames - 1}.", "Start on a frame.")
            return start
        if self.options.start_at_first_prompt:
            return min(track.bank.conditioning)
        return min(min(t.bank.conditioning) for t in self._tracks.values())

    def _route(self, first: Mapping[ObjectId, int], direction: int, stop: int | None) -> range:
        begin = min(first.values()) if direction == FORWARD else max(first.values())
        last = self.num_frames - 1 if direction == FORWARD else 0
        if stop is not None:
            last = min(max(stop, 0), self.num_frames - 1)
        return range(begin, last + direction, direction)

    def _takes_part(self, track: ObjectTrack, frame: int, direction: int, first: int) -> bool:
        if (frame - first) * direction < 0:
            return False
        return not self.options.start_at_first_prompt or track.has_key_behind(frame, direction)

    def _key_ahead(self, frame: int, direction: int, stop: int | None) -> bool:
        keys = {key for track in self._tracks.values() for key in track.bank.conditioning}
        return any((key - frame) * direction > 0 and (stop is None or (stop - key) * direction >= 0) for key in keys)

    def _on_frame(self, entries: Mapping[ObjectId, FrameMemory]) -> dict[ObjectId, ObjectOnFrame]:
        if not entries:
            return {}
        low_res = torch.cat([entry.answer.low_res_logits.float() for entry in entries.values()])
        full = F.interpolate(low_res, size=self.frame_shape, mode="bilinear", align_corners=False)
        if self.options.non_overlapping and len(entries) > 1:
            full = without_overlap(full)
        masks = (full[:, 0] > 0).cpu().numpy()
        logits = low_res[:, 0].cpu().numpy()
        return {
            object_id: ObjectOnFrame(
                mask=masks[n],
                low_res_logits=logits[n],
                iou=entry.answer.iou,
                ious=entry.answer.ious,
                object_score=float(entry.answer.object_score),
                prompted=entry.prompted,
                attended=entry.attended,
            )
            for n, (object_id, entry) in enumerate(entries.items())
        }

    def _features(self, frame: int) -> FrameFeatures:
        if not 0 <= frame < self.num_frames:
            raise PromptError(
                f"The frame {frame} is outside 0 to {self.num_frames - 1}.", "Prompt a frame that exists."
            )
        return self.frames(frame)

    def _track(self, object_id: ObjectId) -> ObjectTrack:
        if object_id not in self._tracks:
            raise UsageError(f"There is no object {object_id!r}.", "Give it a prompt first.")
        return self._tracks[object_id]

    def _track_or_new(self, object_id: ObjectId) -> ObjectTrack:
        if object_id not in self._tracks:
            self._tracks[object_id] = ObjectTrack(self.model, self.options, self.dtype, self.num_frames, self.steps)
        return self._tracks[object_id]


def _within(frame: int, extent: tuple[int, int] | None) -> bool:
    return extent is not None and extent[0] <= frame <= extent[1]


def without_overlap(logits: Tensor) -> Tensor:
    """Keep the (n,1,H,W) logits of n objects where an object is the highest, else at most -10."""
    highest = logits.argmax(dim=0, keepdim=True)
    own = torch.arange(len(logits), device=logits.device)[:, None, None, None]
    return torch.where(own == highest, logits, logits.clamp(max=OVERLAP_LOGIT))
