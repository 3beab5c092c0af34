"""The memory of one object, and the part of it that a frame attends to (Ravi et al. 2024, "Memory bank")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..models.sam2 import CONDITIONING_SLOT, NUM_MEMORIES, MaskAnswer
from .tracker_options import POINTER_FRAMES

FORWARD, BACKWARD = 1, -1

SlottedMemory = tuple[Tensor, int]
PlacedPointer = tuple[Tensor, float]


@dataclass(frozen=True)
class FrameMemory:
    """One object on one frame.

    `answer` is the mask with its scores and pointer; `memory` (1,64,h,w) bfloat16 is what other frames attend to, None
    until it is needed or once it is forgotten. `prompted`: the user's own prompt stands here. `attended` = (all
    memory tokens, those of object pointers) that the answer rests on.
    """

    answer: MaskAnswer
    memory: Tensor | None = None
    prompted: bool = False
    attended: tuple[int, int] = (0, 0)

    def with_memory(self, memory: Tensor) -> FrameMemory:
        """Return the entry with its memory, rounded to bfloat16, as the official code stores it on every device."""
        return replace(self, memory=memory.to(torch.bfloat16))

    def faded(self) -> FrameMemory:
        """Return the entry without its memory; the logits stay, as half floats, for a later click on this frame."""
        answer = replace(self.answer, low_res_logits=self.answer.low_res_logits.half())
        return replace(self, answer=answer, memory=None)


@dataclass
class MemoryBank:
    """`conditioning` holds key frames by index, `tracked` the others by direction and index, both in order of arrival.

    `visited` says in which direction a pass last came by. Without `separate_directions` one store serves both.
    """

    separate_directions: bool = True
    retained_frames: int | None = None
    conditioning: dict[int, FrameMemory] = field(default_factory=dict)
    visited: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        forward: dict[int, FrameMemory] = {}
        backward: dict[int, FrameMemory] = {} if self.separate_directions else forward
        self.tracked = {FORWARD: forward, BACKWARD: backward}

    def get(self, frame: int) -> FrameMemory | None:
        """Return the frame's latest output: as a key frame, else as tracked in the direction in which it was last
        visited."""
        if frame in self.conditioning:
            return self.conditioning[frame]
        return self.tracked[self.visited.get(frame, FORWARD)].get(frame)

    def store_conditioning(self, frame: int, entry: FrameMemory) -> None:
        """Store a key frame, which is no tracked frame any more."""
        self.conditioning[frame] = entry
        for store in self.tracked.values():
            store.pop(frame, None)

    def store_tracked(self, frame: int, direction: int, entry: FrameMemory) -> None:
        """Store a tracked frame. It becomes the latest of its direction; the oldest beyond `retained_frames` fades."""
        store = self.tracked[direction]
        store.pop(frame, None)
        store[frame] = entry
        if self.retained_frames is not None and len(store) > self.retained_frames:
            leaving = list(store)[-self.retained_frames - 1]
            store[leaving] = store[leaving].faded()

    def select(self, frame: int, direction: int, num_frames: int) -> tuple[list[SlottedMemory], list[PlacedPointer]]:
        """Return the memories and object pointers that `frame` attends to when it is reached in `direction`.

        Memories: all key frames, then up to six frames before, the furthest first. Pointers: key frames behind, then
        up to fifteen frames before, the nearest first; their distance is a share of the furthest possible.
        """
        memories = [(e.memory, CONDITIONING_SLOT) for e in self.conditioning.values() if e.memory is not None]
        tracked = self.tracked[direction]
        for steps in range(NUM_MEMORIES - 1, 0, -1):
            entry = tracked.get(frame - direction * steps)
            if entry is not None and entry.memory is not None:
                memories.append((entry.memory, steps - 1))
        reach = min(num_frames, POINTER_FRAMES) - 1
        placed = self._pointers(frame, direction, reach)
        return memories, [(pointer, steps / max(reach, 1)) for pointer, steps in placed]

    def _pointers(self, frame: int, direction: int, reach: int) -> Iterator[tuple[Tensor, int]]:
        for index, entry in self.conditioning.items():
            steps = (frame - index) * direction
            if steps >= 0:
                yield entry.answer.object_pointer, steps
        tracked = self.tracked[direction]
        for steps in range(1, reach + 1):
            behind = tracked.get(frame - direction * steps)
            if behind is not None:
                yield behind.answer.object_pointer, steps
