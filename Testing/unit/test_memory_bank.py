"""What a frame attends to: which memories and pointers, in which order, and how far away they are said to be."""

from __future__ import annotations

import torch

from MedSAMSegmentLib.inference.memory_bank import BACKWARD, FORWARD, FrameMemory, MemoryBank
from MedSAMSegmentLib.models.sam2 import CONDITIONING_SLOT, MaskAnswer


def a_frame(number: int, *, remembered: bool = True) -> FrameMemory:
    """A frame whose memory and pointer hold its number."""
    value = torch.full((1, 1), float(number))
    answer = MaskAnswer(torch.zeros(1, 1, 4, 4), 0.9, (0.9,), value, torch.ones(1, 1))
    return FrameMemory(answer, value if remembered else None)


def a_bank(keys: list[int], forward: list[int], backward: list[int] | None = None) -> MemoryBank:
    bank = MemoryBank()
    for number in keys:
        bank.store_conditioning(number, a_frame(number))
    for direction, numbers in ((FORWARD, forward), (BACKWARD, backward or [])):
        for number in numbers:
            bank.store_tracked(number, direction, a_frame(number))
    return bank


def selected(bank: MemoryBank, frame: int, direction: int, frames: int = 40) -> tuple[list, list]:
    """Frames and slots of the memories, frames and distances of the pointers."""
    memories, pointers = bank.select(frame, direction, frames)
    return [(int(m), slot) for m, slot in memories], [(int(p), distance) for p, distance in pointers]


def test_a_key_frame_ahead_gives_its_memory_but_not_its_pointer() -> None:
    bank = a_bank([2, 8], [3, 4])
    memories, pointers = selected(bank, 5, FORWARD)
    assert memories == [(2, CONDITIONING_SLOT), (8, CONDITIONING_SLOT), (3, 1), (4, 0)]
    assert pointers == [(2, 3 / 15), (4, 1 / 15), (3, 2 / 15)]


def test_backwards_what_lies_behind_is_above() -> None:
    bank = a_bank([2, 8], [3, 4], [7, 6])
    memories, pointers = selected(bank, 5, BACKWARD)
    assert memories == [(2, CONDITIONING_SLOT), (8, CONDITIONING_SLOT), (7, 1), (6, 0)]
    assert pointers == [(8, 3 / 15), (6, 1 / 15), (7, 2 / 15)]


def test_the_key_frame_itself_points_at_no_distance() -> None:
    assert selected(a_bank([5], []), 5, FORWARD)[1] == [(5, 0.0)]


def test_six_memories_and_fifteen_pointers_of_tracked_frames_are_the_most() -> None:
    memories, pointers = selected(a_bank([0], list(range(1, 30))), 30, FORWARD)
    assert memories == [(0, CONDITIONING_SLOT), *((30 - steps, steps - 1) for steps in range(6, 0, -1))]
    assert [frame for frame, _ in pointers] == [0, *range(29, 14, -1)]
    assert pointers[-1][1] == 1.0


def test_in_a_short_volume_distances_are_shares_of_its_length() -> None:
    assert selected(a_bank([0], [1, 2]), 3, FORWARD, frames=4)[1] == [(0, 1.0), (2, 1 / 3), (1, 2 / 3)]
    assert selected(a_bank([0], []), 0, FORWARD, frames=1)[1] == [(0, 0.0)]


def test_a_frame_that_becomes_a_key_frame_is_tracked_no_longer() -> None:
    bank = a_bank([0], [1, 2], [2])
    bank.store_conditioning(2, a_frame(20))
    assert [list(store) for store in bank.tracked.values()] == [[1], []]
    assert bank.get(2) is bank.conditioning[2]


def test_the_latest_pass_over_a_frame_counts() -> None:
    bank = a_bank([0], [1], [1])
    assert bank.get(1) is bank.tracked[FORWARD][1]
    bank.visited[1] = BACKWARD
    assert bank.get(1) is bank.tracked[BACKWARD][1]
    assert bank.get(9) is None


def test_the_oldest_frame_beyond_those_retained_fades() -> None:
    bank = MemoryBank(retained_frames=2)
    for number in (1, 2, 1, 3):
        bank.store_tracked(number, FORWARD, a_frame(number))
    kept = bank.tracked[FORWARD]
    assert {number: entry.memory is not None for number, entry in kept.items()} == {2: False, 1: True, 3: True}
    assert kept[2].answer.low_res_logits.dtype == torch.float16
    assert [frame for frame, _ in selected(bank, 4, FORWARD)[0]] == [1, 3]


def test_one_store_may_serve_both_directions() -> None:
    bank = MemoryBank(separate_directions=False)
    bank.store_tracked(3, FORWARD, a_frame(3))
    assert list(bank.tracked[BACKWARD]) == [3]
