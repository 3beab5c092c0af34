"""The window of an object of the queue: found once, then kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from ..auto_window import window_of_prompts
from ..prompts import Prompt
from .lesion_queue import Lesion


def window_of_lesion(lesion: Lesion, volume: NDArray[Any], modality: str | None, prompts: Iterable[Prompt]) -> str:
    """The window of an object, found from what was drawn for it, else from `prompts`.

    Once something was written it is kept: a correction must not be computed with another window than its object.
    """
    if lesion.written is None or not lesion.window:
        lesion.window = window_of_prompts(volume, modality, lesion.prompts.all() or prompts)
    return lesion.window
