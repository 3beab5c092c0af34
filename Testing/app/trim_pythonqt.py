"""Make the trimmed copy of the dump of a running application that the harness holds its Qt objects to.

The dump (every Python-visible member of the classes of `qt`, `ctk` and `slicer` in a running 3D Slicer, with its kind)
lies outside the repository. It repeats inherited members in each class. This script keeps every class that a module
panel or an effect can meet, and writes of each only what differs from the class that is most like it: no name is added,
no member of a kept class is dropped. Run it again when the dump changes:

    python Testing/app/trim_pythonqt.py PATH/TO/pythonqt_api.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("pythonqt_api.json")
DROPPED_CLASSES = re.compile(
    r"^(ctk(DICOM|Event|Workflow|XNAT|Transfer|VTK(Chart|Color|Data|Disc|Hist|Look|Magn|Piece|Scal|Surf|Text|Thumb))"
    r"|qSlicer(DTI|Diffusion|Settings|SubjectHierarchy.*Plugin$)|qMRML(Plot|Sequence|Chart))"
)
LISTS = ("f", "s")
MAPPINGS = ("e", "m", "p", "x")
READ = (
    "class -> members. m: methods and slots with the largest number of arguments (-1 unknown); s: signals (names, and "
    "signatures where the meta object lists them); p: properties, 'rw', 'r' or '?' (not tried) with the C++ type, of a "
    "class that could not be made as the class that it is like has it; x: "
    "what the meta object calls a property but Python does not (the message of the refused assignment); e: enums with "
    "values; f: functions of the class; made: whether the dump could make an instance. A class with 'like' has the "
    "members of that class, but for its own entries, which come in addition or replace."
)


def trim(dump: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """The trimmed dump; `about` gains how to read it and the SHA-256 of the full one."""
    classes: dict[str, dict[str, Any]] = {}
    for module in ("qt", "ctk", "slicer", "effects"):
        for name, entry in dump["modules"][module].items():
            if not DROPPED_CLASSES.match(name):
                classes.setdefault(name, entry)
    about = {key: value for key, value in dump["about"].items() if key != "read"}
    about["read"] = READ
    about["trimmed_from"] = {
        "classes": sum(len(module) for module in dump["modules"].values()),
        "kept_classes": len(classes),
        "sha256": digest,
    }
    return {"about": about, "classes": _differences(classes)}


def _differences(classes: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each class as its difference from the one with the most members among those that have no member besides its.

    Classes that could be made come first: what the dump says of their properties was tried.
    """
    names = {name: frozenset(_names(entry)) for name, entry in classes.items()}
    by_size = sorted(classes, key=lambda name: (not classes[name]["made"], -len(names[name]), name))
    result = {}
    for name in sorted(classes):
        alike = (
            other for other in by_size if names[other] < names[name] or (names[other] == names[name] and other < name)
        )
        result[name] = _difference(classes, name, next(alike, None))
    return result


def _names(entry: Mapping[str, Any]) -> set[tuple[str, str]]:
    names = {(key, name) for key in (*LISTS, *MAPPINGS) for name in entry.get(key, ())}
    # Of a class that could not be made the dump has no signatures of signals, and takes some properties for functions.
    return {("p" if key == "f" else key, name.partition("(")[0]) for key, name in names}


def _difference(classes: Mapping[str, dict[str, Any]], name: str, like: str | None) -> dict[str, Any]:
    entry, other = classes[name], classes[like] if like is not None else {}
    kept: dict[str, Any] = {"like": like} if like is not None else {}
    kept["made"] = entry["made"]
    for key in LISTS:
        kept[key] = sorted(set(entry.get(key, ())) - set(other.get(key, ())))
    for key in MAPPINGS:
        kept[key] = {
            member: value
            for member, value in entry.get(key, {}).items()
            if other.get(key, {}).get(member) != value and (value != "?" or member not in other.get(key, {}))
        }
    return {key: value for key, value in kept.items() if value not in ([], {})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", type=Path)
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    content = arguments.dump.read_bytes()
    trimmed = trim(json.loads(content), hashlib.sha256(content).hexdigest())
    lines = [
        f"{json.dumps(name)}:{json.dumps(entry, sort_keys=True, separators=(',', ':'))}"
        for name, entry in trimmed["classes"].items()
    ]
    about = json.dumps(trimmed["about"], sort_keys=True, indent=1)
    text = f'{{\n"about":{about},\n"classes":{{\n' + ",\n".join(lines) + "\n}\n}\n"
    arguments.target.write_text(text, encoding="utf-8")
    print(f"{len(trimmed['classes'])} classes, {arguments.target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
