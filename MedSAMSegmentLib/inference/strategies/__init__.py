"""Ways from prompts on key slices to masks on all slices, behind one interface (`base.Strategy`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UsageError

if TYPE_CHECKING:
    from ...registry import ModelEntry
    from .base import Strategy


def make_strategy(name: str) -> Strategy:
    """Return the strategy of that name. Raises `UsageError`."""
    from .consensus import ConsensusStrategy
    from .handover import HandoverStrategy
    from .memory import MemoryStrategy
    from .static import StaticStrategy

    known: dict[str, type[Strategy]] = {
        "consensus": ConsensusStrategy,
        "static": StaticStrategy,
        "handover": HandoverStrategy,
        "memory": MemoryStrategy,
    }
    if name not in known:
        raise UsageError(f"The strategy {name!r} is not known.", f"Use one of {', '.join(known)}.")
    return known[name]()


def default_strategy(entry: ModelEntry, reference: bool = False) -> str:
    """Return `memory` for models that have one, `handover` to repeat the official script. Else `consensus`: on the
    seven public cases of `Testing/bench` it scores better than the 3D box on every slice and than the official handover
    (Resources/docs/accuracy.md)."""
    if entry.kind == "memory":
        return "memory"
    return "handover" if reference else "consensus"
