"""Moments of a process: what it does to the files below a folder, seen by an audit hook, and acts at one of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = frozenset(
    ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime", "os.scandir")
)


class Moments:
    """Counts moments in this process from now on. For children: a hook stays until the process ends."""

    def __init__(self, folder: Path, number: int = -1, act: Callable[[], None] | None = None) -> None:
        self._folder = str(folder)
        self._number = number
        self._act = act
        self._acting = False
        self.count = 0
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or self._acting or not any(self._is_inside(item) for item in arguments[:2]):
            return
        if self.count == self._number and self._act is not None:
            self._acting = True
            try:
                self._act()
            finally:
                self._acting = False
        self.count += 1

    def _is_inside(self, item: Any) -> bool:
        if isinstance(item, bytes):
            item = os.fsdecode(item)
        return isinstance(item, str | os.PathLike) and os.fspath(item).startswith(self._folder)
