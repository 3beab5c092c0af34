"""Runs scenarios one after the other: a failure does not hide the others, and the user's own choices come back."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import SkipTest

import slicer

from ...registry import get
from ..panel.requirements import is_installed
from ..worker_settings import INTERPRETER_KEY, MODEL_FOLDER_KEY, chosen_interpreter, model_store
from . import Scenario

WEIGHTS = "lite_medsam"
PARAMETER_PREFIX = "MedSAM."


@dataclass
class SuiteReport:
    """The outcome of the scenarios, by name."""

    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.passed)} passed, {len(self.skipped)} skipped, {len(self.failed)} failed"]
        lines += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        lines += [f"FAILED {name}: {error}" for name, error in self.failed.items()]
        return "\n".join(lines)


def run_suite(stories: Mapping[str, Scenario], run_one: Callable[[str], None]) -> SuiteReport:
    """`run_one` runs the scenario of that name; it may raise `SkipTest`."""
    report = SuiteReport()
    with users_choices_kept():
        for name in stories:
            try:
                run_one(name)
            except SkipTest as reason:
                report.skipped[name] = str(reason)
            except Exception as error:  # noqa: BLE001 - the failure of one scenario must not hide the others
                traceback.print_exc()
                report.failed[name] = f"{type(error).__name__}: {error}"
            else:
                report.passed.append(name)
    return report


def skip_unless_possible(story: Scenario) -> None:
    """Raise `SkipTest` where this machine lacks what the scenario needs."""
    if not getattr(story, "needs_weights", False):
        return
    if chosen_interpreter() == sys.executable and not is_installed("torch"):
        raise SkipTest("torch is not installed in this Python")
    try:
        state = model_store().state(get(WEIGHTS))
    except ImportError as error:
        raise SkipTest(f"the package {error.name} is not installed") from error
    if state not in ("ready", "unverified"):
        raise SkipTest(f"the weights of {WEIGHTS} are {state}")


@contextmanager
def users_choices_kept() -> Iterator[None]:
    """Interpreter, model folder and the effect's options are those of before at the end."""
    settings = slicer.app.userSettings()
    stored = {key: str(settings.value(key) or "") for key in (INTERPRETER_KEY, MODEL_FOLDER_KEY)}
    options = _effect_options()
    try:
        yield
    finally:
        for key, value in stored.items():
            settings.setValue(key, value)
        _restore_effect_options(options)


def _effect_options() -> dict[str, str]:
    node = _editor_node()
    names = [] if node is None else [n for n in node.GetAttributeNames() or () if n.startswith(PARAMETER_PREFIX)]
    return {name: str(node.GetAttribute(name)) for name in names}


def _restore_effect_options(options: Mapping[str, str]) -> None:
    node = _editor_node()
    if node is None:
        return
    for name in set(_effect_options()) - set(options):
        node.RemoveAttribute(name)
    for name, value in options.items():
        node.SetAttribute(name, value)


def _editor_node() -> Any:
    return slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
