"""Events as values: run code emits them, `widgets.messages` alone makes text of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ...errors import MedSAMError


@dataclass(frozen=True)
class Ready:
    """Nothing runs. `waiting` objects would be run by Propagate."""

    waiting: int = 0


@dataclass(frozen=True)
class Message:
    """A plain sentence, translated already; "" clears the status."""

    text: str


@dataclass(frozen=True)
class RunsOn:
    """A run begins; `server` is the address of the server that computes it, "" for this computer."""

    server: str = ""


@dataclass(frozen=True)
class RunIsOn:
    """A command was refused because a run is on."""


@dataclass(frozen=True)
class Cancelling:
    """Cancel was asked for and has not been answered yet."""


@dataclass(frozen=True)
class PreviewCancelled:
    """A preview was cancelled; nothing was written."""


@dataclass(frozen=True)
class RunCancelled:
    """A run of `total` objects was cancelled after `written` of them; `partial` tells that a part of one was kept."""

    written: int
    total: int
    partial: bool


@dataclass(frozen=True)
class FirstLook:
    """The preview of slice `index` is shown as far as it is known; the answer is on its way."""

    index: int


@dataclass(frozen=True)
class PreviewReady:
    """The preview of slice `index` is shown; `score` is the network's confidence, 0 to 1.

    `remark` is a sentence, translated already, that is to be read along with it. `readings` counts what the box may
    mean there, 1 or 2; `reading` is the one that was asked for.
    """

    index: int
    score: float
    remark: str = ""
    readings: int = 1
    reading: int = 1


@dataclass(frozen=True)
class SliceWritten:
    """The preview of slice `index` was written into its segment."""

    index: int


@dataclass(frozen=True, eq=False)
class Failed:
    """A command, preview or run ended in an error."""

    error: MedSAMError


Event: TypeAlias = (
    Ready
    | Message
    | RunsOn
    | RunIsOn
    | Cancelling
    | PreviewCancelled
    | RunCancelled
    | FirstLook
    | PreviewReady
    | SliceWritten
    | Failed
)


@dataclass(frozen=True)
class RunProgress:
    """`done` of `total` slices of object `position` (from 1) of `objects`, after `seconds`."""

    done: int
    total: int
    seconds: float
    position: int = 1
    objects: int = 1


@dataclass(frozen=True)
class RunEstimate:
    """The most that a run takes. `slices` counts all objects together.

    `seconds` is None until a slice was measured, and a lower bound with `or_more`. `needed_bytes` of memory come on
    top of what is in use, `free_bytes` is what the system can give, None where it does not tell. `model` is a title.
    """

    slices: int
    model: str
    needed_bytes: int
    free_bytes: int | None
    seconds: float | None = None
    or_more: bool = False

    @property
    def memory_is_short(self) -> bool:
        """Tell whether the system has less free memory than is needed."""
        return self.free_bytes is not None and self.free_bytes < self.needed_bytes
