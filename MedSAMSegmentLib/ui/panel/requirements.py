"""The packages that Slicer's Python needs for the worker, and those that are missing. Nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata

from slicer.i18n import tr as _

VersionOf = Callable[[str], "str | None"]


@dataclass(frozen=True)
class Requirement:
    """A package of version `oldest` or later. `size` is what the download takes, in words."""

    name: str
    oldest: str
    size: str
    licence: str

    @property
    def requirement(self) -> str:
        """As pip reads it."""
        return f"{self.name}>={self.oldest}"


TORCH = Requirement("torch", "2.4", "200 MB without a GPU, up to 3 GB with CUDA", "BSD-3-Clause")

SMALL: tuple[Requirement, ...] = (
    Requirement("filelock", "3.12", "0.1 MB", "Unlicense"),
    Requirement("platformdirs", "4", "0.1 MB", "MIT"),
    Requirement("safetensors", "0.4", "1 MB", "Apache-2.0"),
)


def installed_version(name: str) -> str | None:
    """The version of a package as its metadata says; None where it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_installed(name: str) -> bool:
    return installed_version(name) is not None


def missing(version_of: VersionOf = installed_version) -> list[Requirement]:
    """Return what is not there, or there in a version that is too old."""
    return [required for required in (TORCH, *SMALL) if not _is_met(required, version_of(required.name))]


def missing_text(required: Requirement, version_of: VersionOf = installed_version) -> str:
    """The name, and for a package that is too old which version is there."""
    found = version_of(required.name)
    if found is None:
        return required.name
    return _("{name} ({found} is there, {oldest} is needed)").format(
        name=required.name, found=found, oldest=required.oldest
    )


def question(needed: Sequence[Requirement], *, extension_first: bool) -> str:
    """Return the text of the one dialog: names, sizes, licences, and what becomes of torch.

    `extension_first`: torch is missing, and so is the extension that installs it.
    """
    lines = []
    if needed:
        line = _("{name}: {size}, licence {licence}")
        lines += [_("These packages will be installed into Slicer's Python:"), ""]
        lines += [line.format(name=r.name, size=r.size, licence=r.licence) for r in needed]
    if TORCH in needed:
        lines += ["", _("The extension PyTorch loads torch into Slicer as it installs it: restart Slicer afterwards.")]
    if extension_first:
        lines += ["", _("torch is installed by the extension PyTorch, which is missing: the Extensions Manager opens.")]
    return "\n".join(lines).strip()


def _is_met(required: Requirement, found: str | None) -> bool:
    return found is not None and _release(found) >= _release(required.oldest)


def _release(version: str) -> tuple[int, ...]:
    """ "2.4.1+cu124" is (2, 4, 1). A version that begins with no number counts as the oldest."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in leading.group().split(".")) if leading else ()
