"""Scenarios: stories of a user with the effect, run by the module's self-test in Slicer and by the test suite."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

FILES = (
    "first_steps",
    "editing",
    "volumes",
    "faults",
    "re_entrancy",
    "frames",
    "own_weights",
    "going_on",
    "mouse",
    "mishaps",
    "undoing",
    "belonging",
    "rois",
    "ranges",
    "surroundings",
    "two_readings",
    "first_look",
    "servers",
)

Scenario = Callable[[], None]


def scenarios() -> dict[str, Scenario]:
    """All by name, in the order of their files."""
    found: dict[str, Scenario] = {}
    for file in FILES:
        module = import_module(f"{__name__}.{file}")
        found.update({f.__name__: f for f in vars(module).values() if getattr(f, "is_scenario", False)})
    return found


def scenario(function: Scenario) -> Scenario:
    """Marks a function as a scenario."""
    function.is_scenario = True  # type: ignore[attr-defined]
    return function


def needs_weights(function: Scenario) -> Scenario:
    """Marks a scenario that runs LiteMedSAM itself: it is left out where torch or the weights are missing."""
    function.needs_weights = True  # type: ignore[attr-defined]
    return function
