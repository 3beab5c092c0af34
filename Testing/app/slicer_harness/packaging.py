"""The Python module `slicer.packaging` of Slicer 5.12: nothing is installed; requests are recorded for the test."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dialogs import Dialogs


@dataclass
class Packages:
    """What pip was asked to do. `installer` plays pip: called with the requirements, may raise CalledProcessError."""

    dialogs: Dialogs
    installed: list[tuple[str, ...]] = field(default_factory=list)
    uninstalled: list[tuple[str, ...]] = field(default_factory=list)
    present: set[str] | None = None
    installer: Callable[[tuple[str, ...]], None] = lambda requirements: None

    def make_module(self) -> types.ModuleType:
        module = types.ModuleType("slicer.packaging")
        for name in (
            "load_requirements",
            "load_pyproject_dependencies",
            "pip_check",
            "pip_ensure",
            "pip_install",
            "pip_uninstall",
        ):
            setattr(module, name, getattr(self, name))
        module.isPipInstallInProgress = lambda: False
        return module

    def load_requirements(self, path: Any) -> list[str]:
        lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line and not line.startswith("-")]

    def load_pyproject_dependencies(self, path: Any) -> list[str]:
        import tomllib

        return list(tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"].get("dependencies", ()))

    def pip_check(self, req: Any, _seen: Any = None) -> bool:
        requirements = [req] if isinstance(req, str) else list(req)
        return all(self._is_present(str(requirement)) for requirement in requirements)

    def _is_present(self, requirement: str) -> bool:
        name = re.split(r"[<>=!~;\[ ]", requirement)[0]
        if self.present is not None:
            return name.lower() in {known.lower() for known in self.present}
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    def pip_ensure(  # noqa: PLR0917 - the parameters of the real function
        self,
        requirements: Any,
        constraints: Any = None,
        skip_packages: Any = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        """Install what is missing, after asking. RuntimeError when the user declines; nothing in testing mode."""
        import slicer

        missing = [requirement for requirement in _listed(requirements) if not self._is_present(requirement)]
        if not missing or (skip_in_testing and slicer.app.testingEnabled()):
            return
        if prompt_install and not self.dialogs.ask("pip_ensure", ", ".join(missing), requester=requester):
            raise RuntimeError("User declined package installation")
        self.pip_install(missing, constraints=constraints, skip_packages=skip_packages, requester=requester)

    def pip_install(  # noqa: PLR0917 - the parameters of the real function
        self,
        requirements: Any,
        constraints: Any = None,
        no_deps_requirements: Any = None,
        skip_packages: Any = None,
        blocking: bool = True,
        show_progress: bool = True,
        requester: str | None = None,
        parent: Any = None,
        logCallback: Any = None,
        completedCallback: Any = None,
    ) -> None:
        wanted = _listed(requirements)
        self.installer(wanted)
        self.installed.append(wanted)
        if self.present is not None:
            self.present.update(re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in wanted)
        if completedCallback is not None:
            completedCallback(0)

    def pip_uninstall(
        self, requirements: Any, blocking: bool = True, logCallback: Any = None, completedCallback: Any = None
    ) -> None:
        self.uninstalled.append(_listed(requirements))


def _listed(requirements: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(requirements, str):
        return tuple(shlex.split(requirements))
    return tuple(str(one) for one in requirements)
