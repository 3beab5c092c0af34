"""The effect's keys. None is one of Segment Editor's (q w z y i esc space / * , . < > digits), and but for T none is
one of the views' (f b r g t v and the arrows): T fades their foreground volume, unless the effect is active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import qt


@dataclass(frozen=True)
class Key:
    sequence: str
    action: str
    title: str


KEYS: tuple[Key, ...] = (
    Key("P", "propagate", "Propagate"),
    Key("S", "segment_slice", "Write the preview of this slice"),
    Key("X", "cancel", "Cancel the run, or drop the preview"),
    Key("D", "tool_box", "Draw boxes"),
    Key("A", "tool_include", "Click what belongs to the object"),
    Key("E", "tool_exclude", "Click what does not belong to it"),
    Key("L", "tool_line", "Draw the longest diameter, as for RECIST"),
    Key("K", "key_slice", "Use this slice's mask as a prompt"),
    Key("U", "remove_last", "Take the last prompt back"),
    Key("T", "other_reading", "Take the other thing that the box may mean"),
    Key("Home", "range_first", "Let the range begin at this slice"),
    Key("End", "range_last", "Let the range end at this slice"),
    Key("N", "next_object", "Next object"),
    Key("Shift+N", "previous_object", "Previous object"),
    Key("J", "next_flagged", "Next slice to look at"),
    Key("Shift+J", "previous_flagged", "Previous slice to look at"),
)


def sequences() -> dict[str, str]:
    """Return the key of each action, for tool tips."""
    return {key.action: key.sequence for key in KEYS}


class Shortcuts:
    """The keys as shortcuts of a window, while the effect is active."""

    def __init__(self, actions: Mapping[str, Any]) -> None:
        self._actions = actions
        self._shortcuts: list[Any] = []

    def install(self, window: Any) -> None:
        self.remove()
        for key in KEYS:
            shortcut = qt.QShortcut(qt.QKeySequence(key.sequence), window)
            shortcut.connect("activated()", self._actions[key.action])
            self._shortcuts.append(shortcut)

    def remove(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.disconnect("activated()")
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
