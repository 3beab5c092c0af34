"""The objects that the next Propagate runs."""

from __future__ import annotations

from .corrections import changed_slices
from .drawing import Drawing
from .effect_scene import EffectScene, SceneVolume
from .lesion_queue import Lesion, LesionQueue


def next_rows(
    queue: LesionQueue, scene: EffectScene, drawing: Drawing, volume: SceneVolume, *, roi_is_range: bool = False
) -> list[Lesion]:
    """Return the objects that wait, and that of the selected segment when it was edited by hand.

    When there is neither: the chosen ROI where it is new; else what failed where the current object did; else the
    selected segment again. An ROI that is the range of runs comes last. Empty when there is nothing to run. Raises
    `OutputError` or `GeometryError` for a segment that cannot be read, `PromptError` for an ROI that is not placed.
    """
    rows = queue.waiting()
    selected = queue.of_segment(scene.selected_segment_id)
    if selected is not None and selected not in rows and is_edited(selected, scene, volume):
        rows.append(selected)
    if rows:
        return rows
    marked = None if roi_is_range else drawing.from_roi(volume)
    if marked is not None:
        return [marked]
    current = queue.current
    if current is not None and current in queue.unfinished():
        return queue.unfinished()
    last = drawing.again(volume) or drawing.from_roi(volume)
    return [last] if last is not None else []


def is_edited(lesion: Lesion, scene: EffectScene, volume: SceneVolume) -> bool:
    """Return whether the user changed the segment since a run wrote it; Undo is no change."""
    if lesion.written is None:
        return False
    mask = scene.segment_mask(lesion.segment_id, volume.geometry)
    state = lesion.state_of(mask)
    return state is not None and bool(changed_slices(state, mask))
