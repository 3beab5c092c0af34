"""Texts of the panel that are made of facts: offline help and the self-check's answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...registry import ModelEntry, entries
from ...worker.memory import human_bytes
from .requirements import SMALL, TORCH


def offline_help(model_folder: str) -> str:
    """What to carry to a machine without internet, and where to put it. Plain text."""
    packages = [f"  {r.requirement}  ({r.size}, {r.licence})" for r in (TORCH, *SMALL)]
    small = " ".join(f'"{r.requirement}"' for r in SMALL)
    lines = [
        "1. Packages. On a machine with internet and the same system and Python version, run",
        f"     python -m pip download --only-binary :all: --dest wheels {small}",
        "   and the same for torch; carry the folder over and run, with PythonSlicer,",
        "     PythonSlicer -m pip install --no-index --find-links wheels filelock platformdirs safetensors torch",
        *packages,
        "",
        "2. Weights. Fetch one of these files, then press Import from file.",
        f"   They are kept in {model_folder} (environment variable MEDSAM_MODEL_DIR changes it).",
    ]
    for entry in entries():
        lines.extend(_weights(entry))
    return "\n".join(lines) + "\n"


def _weights(entry: ModelEntry) -> Iterator[str]:
    yield ""
    yield f"   {entry.title} ({entry.id}): {entry.file_name}, {human_bytes(entry.expected_bytes)}, {entry.licence}"
    for source in entry.sources:
        where = (
            f"{source.member} in the Python package {source.location}" if source.kind == "package" else source.address
        )
        yield f"     from {where}"
    for name, value in (("SHA-256", entry.sha256), ("MD5", entry.md5)):
        if value:
            yield f"     {name} {value}"


def self_check_text(answer: Mapping[str, Any]) -> str:
    """The worker's self-check as lines: interpreter, memory, torch, devices, then what is wrong."""
    python, memory, torch = answer["python"], answer["memory"], answer["torch"]
    free = human_bytes(memory["available"]) if memory.get("available") is not None else "unknown"
    lines = [
        f"Python {python['version']} ({python['machine']}): {python['executable']}",
        f"Memory: {free} free",
        f"PyTorch: {torch['version']}" if torch else "PyTorch: not usable",
    ]
    lines.extend(_device(device) for device in answer["devices"])
    lines.extend(answer["problems"] or ["Everything that is needed works."])
    return "\n".join(lines)


def _device(device: Mapping[str, Any]) -> str:
    facts = [str(device["title"])]
    if device.get("capability"):
        facts.append(f"capability {device['capability']}")
    if device.get("free_bytes") is not None:
        facts.append(f"{human_bytes(device['free_bytes'])} free")
    state = "works" if device["works"] else "does not work"
    return f"{device['name']}: {state} ({', '.join(facts)})"
