"""Scenarios: stories of a user with the effect, run by the module's self-test in Slicer and by the test suite."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

FILES = ("first_steps", "editing", "volumes", "faults", "re_entrancy")

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
