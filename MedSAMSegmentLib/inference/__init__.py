"""Devices, preprocessing and its inverse, sessions, slice-wise and memory propagation.

`open_session` is the one door: the command line, the worker, the notebook and the web service go through it.
Importing this package is cheap; torch is loaded when a session is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .open import open_session as open_session
    from .session import VolumeSession as VolumeSession

_HOMES = {"open_session": "open", "VolumeSession": "session"}

__all__ = ["VolumeSession", "open_session"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
