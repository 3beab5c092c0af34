"""Texts of the panel that are made of facts: offline help, licences and the self-check's answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ...registry import ModelEntry, Source, entries
from ...worker.memory import human_bytes
from .requirements import SMALL, TORCH
from .wheel_files import ABI_PYTHON, EVERYWHERE, WheelSystem, wheel_system


def offline_help(model_folder: str, python: str = sys.executable) -> str:
    """Say what to carry to a machine without internet, and where to put it. Plain text. `python` is Slicer's own."""
    lines = [*_packages(python), "", *_folder(model_folder)]
    for entry in entries():
        lines.extend(_weights(entry))
    return "\n".join(lines) + "\n"


def _packages(python: str) -> Iterator[str]:
    system = wheel_system()
    names = " ".join(r.name for r in (*SMALL, TORCH))
    yield _("1. Packages for Slicer's own Python. On a machine with internet and the same kind of system, run")
    yield f"     python -m pip download {_target(system)}--only-binary :all: --dest wheels {_requirements()}"
    yield _("   (torch with CUDA for Linux takes 3 GB; PyTorch's page Get started names the index of smaller ones).")
    yield _("   Carry the folder over and run on this machine")
    yield f'     "{python}" -m pip install --no-index --find-links wheels {names}'
    for r in (TORCH, *SMALL):
        yield f"  {r.requirement}  ({r.size}, {r.licence})"
    if system is not None:
        yield _("   Files that are known to work with Python {version}, beside those that torch asks for:").format(
            version=ABI_PYTHON
        )
        for wheel in (*EVERYWHERE, *system.files):
            yield f"     {wheel.name}"
            yield f"       SHA-256 {wheel.sha256}"


def _target(system: WheelSystem | None) -> str:
    """For which Python and system pip is to fetch, whatever the machine with internet has."""
    if system is None:
        return ""
    version = "{}.{}".format(*sys.version_info[:2])
    platforms = " ".join(f"--platform {name}" for name in system.platforms)
    return f"--implementation cp --python-version {version} {platforms} "


def _requirements() -> str:
    return " ".join(f'"{r.requirement}"' for r in (*SMALL, TORCH))


def _folder(model_folder: str) -> Iterator[str]:
    yield _("2. Weights. Fetch one of these files, then press Import from file.")
    yield _("   They are kept in {folder} (environment variable MEDSAM_MODEL_DIR changes it).").format(
        folder=model_folder
    )


def _weights(entry: ModelEntry) -> Iterator[str]:
    yield ""
    yield f"   {entry.title} ({entry.id}): {entry.file_name}, {human_bytes(entry.expected_bytes)}, {entry.licence}"
    for source in entry.sources:
        yield "     " + _("from {where}").format(where=_where(source))
    for name, value in (("SHA-256", entry.sha256), ("MD5", entry.md5)):
        if value:
            yield f"     {name} {value}"


def _where(source: Source) -> str:
    if source.kind != "package":
        return source.address
    return _("{file} in the Python package {package}").format(file=source.member, package=source.location)


def licences_html() -> str:
    """Return licence and citation of all published models as rich text, those that have both in common together."""
    titles: dict[tuple[str, str, str], list[str]] = {}
    for entry in entries():
        titles.setdefault((entry.licence, entry.licence_note, entry.citation), []).append(entry.title)
    return "".join(
        f"<p><b>{escape(', '.join(names))}</b><br>{escape(' '.join(_sentences(*facts)))}</p>"
        for facts, names in titles.items()
    )


def _sentences(licence: str, note: str, citation: str) -> Iterator[str]:
    yield _("Licence of the weights: {licence}.").format(licence=licence)
    if note:
        yield note
    yield _("Cite: {citation}.").format(citation=citation)


def self_check_text(answer: Mapping[str, Any]) -> str:
    """The worker's self-check as lines: interpreter, memory, torch, devices, then what is wrong."""
    python, memory, torch = answer["python"], answer["memory"], answer["torch"]
    free = human_bytes(memory["available"]) if memory.get("available") is not None else _("unknown")
    lines = [
        f"Python {python['version']} ({python['machine']}): {python['executable']}",
        _("Memory: {size} free").format(size=free),
        "PyTorch: " + (str(torch["version"]) if torch else _("not usable")),
    ]
    lines.extend(_device(device) for device in answer["devices"])
    lines.extend(answer["problems"] or [_("Everything that is needed works.")])
    return "\n".join(lines)


def _device(device: Mapping[str, Any]) -> str:
    facts = [str(device["title"])]
    if device.get("capability"):
        facts.append(_("capability {number}").format(number=device["capability"]))
    if device.get("free_bytes") is not None:
        facts.append(_("{size} free").format(size=human_bytes(device["free_bytes"])))
    state = _("works") if device["works"] else _("does not work")
    return f"{device['name']}: {state} ({', '.join(facts)})"
