"""Runs scenarios one after the other: a failure does not hide the others, and nothing of the user's is changed."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from unittest import SkipTest

import slicer

from MedSAMSegmentLib.paths import MODEL_FOLDER_VARIABLE, default_model_folder
from MedSAMSegmentLib.registry import get
from MedSAMSegmentLib.ui.panel.requirements import is_installed
from MedSAMSegmentLib.ui.worker_settings import chosen_interpreter, model_store

from . import Scenario
from .stalls import monitor

WEIGHTS = "lite_medsam"
PARAMETER_PREFIX = "MedSAM."
SETTINGS_PREFIX = "MedSAMSegment/"
VARIABLE_PREFIX = "MEDSAM_"
DERIVED = (".lock", ".record.json")
"""Endings of files that mere use of a checkpoint leaves beside it, as does the folder of engines."""


@dataclass
class SuiteReport:
    """The results of the scenarios, by name."""

    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    longest_stall: dict[str, float] = field(default_factory=dict)
    """Seconds for which the event loop stood still at most, `stalls.EventLoopMonitor`."""
    longest_computing: dict[str, float] = field(default_factory=dict)
    """Seconds that the main thread computed at most without a turn of the event loop."""

    def result_of(self, name: str) -> str:
        """Return what became of one scenario, in a word or two."""
        if name in self.passed:
            return "passed"
        return f"skipped: {self.skipped[name]}" if name in self.skipped else f"FAILED: {self.failed[name]}"

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
            monitor().reset()
            begun = time.monotonic()
            try:
                run_one(name)
            except SkipTest as reason:
                report.skipped[name] = str(reason)
            except Exception as error:  # noqa: BLE001 - the failure of one scenario must not hide the others
                traceback.print_exc()
                report.failed[name] = f"{type(error).__name__}: {error}"
            else:
                report.passed.append(name)
            report.seconds[name] = time.monotonic() - begun
            print(f"{name}: {report.result_of(name)}, {report.seconds[name]:.1f} s", flush=True)
            report.longest_stall[name] = monitor().longest
            report.longest_computing[name] = monitor().computing
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


@dataclass(frozen=True)
class Belongings:
    """The user's own files and settings: no scenario may change them.

    `models` maps each file of the model folder and of the default one to its size and modification time, `settings`
    the application's settings of this extension, `variables` its environment variables. `layout` is that of the views.
    """

    models: Mapping[str, tuple[int, int]]
    settings: Mapping[str, str]
    variables: Mapping[str, str]
    layout: int

    def difference(self, other: Belongings) -> str:
        """Name what is not the same in `other`; "" when all is."""
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
        return "; ".join(f"{name}: {getattr(self, name)} became {getattr(other, name)}" for name in changed)


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Raise AssertionError when a scenario that passed has changed what is the user's; settings come back anyway."""
    folders = _model_folders()
    before = _belongings(folders)
    with users_choices_kept():
        yield
        difference = before.difference(_belongings(folders))
    assert not difference, f"left behind: {difference}"


@contextmanager
def another_model_folder(folder: Path) -> Iterator[None]:
    """Let `MEDSAM_MODEL_DIR` name a folder for a while, here and in each process that is started."""
    before = os.environ.get(MODEL_FOLDER_VARIABLE)
    os.environ[MODEL_FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[MODEL_FOLDER_VARIABLE]
        else:
            os.environ[MODEL_FOLDER_VARIABLE] = before


@contextmanager
def users_choices_kept() -> Iterator[None]:
    """Give settings of this extension and options of the effect their values of before at the end."""
    stored = _settings()
    options = _effect_options()
    try:
        yield
    finally:
        settings = slicer.app.userSettings()
        for key in set(_settings()) - set(stored):
            settings.remove(key)
        for key, value in stored.items():
            settings.setValue(key, value)
        _restore_effect_options(options)


def _belongings(folders: set[Path]) -> Belongings:
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLE_PREFIX)}
    return Belongings(_models(folders), _settings(), variables, int(slicer.app.layoutManager().layout))


def _model_folders() -> set[Path]:
    """The folder in use and the default one, which a child that is not told the folder takes."""
    try:
        return {model_store().folder, default_model_folder()}
    except ImportError:
        return set()


def _models(folders: set[Path]) -> dict[str, tuple[int, int]]:
    files = [file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.is_file()]
    kept = [(str(file), file.stat()) for file in files if not file.name.endswith(DERIVED)]
    return {name: (status.st_size, status.st_mtime_ns) for name, status in kept}


def _settings() -> dict[str, str]:
    settings = slicer.app.userSettings()
    return {key: str(settings.value(key)) for key in settings.allKeys() if key.startswith(SETTINGS_PREFIX)}


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
