"""Make the trimmed copy of the index of Slicer's API that the harness is generated from.

The full index (688 Qt classes of 3D Slicer and CTK, extracted from their sources) lies outside the repository; this
script keeps the classes that a module panel and a Segment Editor effect can meet, whole: no name is added, no member of
a kept class is dropped. Run it again when the full index changes:

    python Testing/app/trim_index.py PATH/TO/slicer_api_index.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("slicer_api_index.json")
KEPT_CLASSES = re.compile(
    r"^(ctk(Axes|BasePopup|Button|Check|Collapsible|Color|Combo|Coordinates|Directory|Double|Dynamic|Error|Expandable|"
    r"Fitted|Flow|Font|Language|LayoutFactory|LayoutManager|LayoutViewFactory|Material|Matrix|Menu|MessageBox|PathL|Popup|Push|Range|RichText|Search|Settings|"
    r"Slider|Thumbnail|Tree|Value|VTKAbstractView|VTKRenderView|VTKSliceView|VTKRangeSlider|VTKThreshold|WidgetsUtils)"
    r"|qMRML(Widget|Abstract|Node|Check|Collapsible|Layout|Segment|Segmentation|Slice|Slider|Spin|SubjectHierarchy(Combo|Tree|Model)|"
    r"ThreeD|ViewController|Volume|WindowLevel|Range|Label|Markups(ROI|Toolbar)|Sequence|Color|Coordinates|Transform|Utils|Sort|Scene|Table|Text)"
    r"|qSlicer(Abstract(Core|Module)|AppMainWindow|Application|Core|MainWindow|Layout|Segment|SegmentationsModule|Segmentations|Module|Markups|"
    r"Scripted|SimpleMarkups|Settings(General|Modules)|Extensions|Style|Terminolog|Utils|IO|Node|Volumes|Web|Widget|DICOM|PythonManager|Mouse|Save|Standard|FileDialog|SubjectHierarchy(Abstract|Plugin(Handler|Logic)|Scripted)))"
)
DROPPED_CLASSES = re.compile(
    r"(Plugin|Plugins|EventPlayer|EventTranslator|Delegate)$|DICOM(?!Module)|Reader$|Writer$|Settings.*Panel$|OptionsWidget$"
)
DROPPED_MEMBERS = ("header", "python", "constructible_in")


def kept_class_names(qt_classes: Mapping[str, Any]) -> set[str]:
    """Names of the classes to keep, with all their bases."""
    names = {name for name in qt_classes if KEPT_CLASSES.match(name) and not DROPPED_CLASSES.search(name)}
    pending = list(names)
    while pending:
        base = qt_classes[pending.pop()]["base"]
        if base in qt_classes and base not in names:
            names.add(base)
            pending.append(base)
    return names


def trim(full: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """The trimmed index; `about` gains where it comes from and the SHA-256 of the full one."""
    names = kept_class_names(full["qt_classes"])
    classes = {name: _without_redundancy(full["qt_classes"][name]) for name in sorted(names)}
    about = dict(full["about"])
    about["trimmed_from"] = {"classes": len(full["qt_classes"]), "sha256": digest, "kept_classes": len(classes)}
    about["rules"] += (
        "; 'methods' that are keys of 'arity' and 'signals' that are names of 'signal_signatures' are not repeated here"
    )
    modules = {name: _without_wrapper_internals(name, module) for name, module in full["python_modules"].items()}
    return {
        "about": about,
        "python_modules": modules,
        "qt_classes": classes,
        "slicer_namespace": full["slicer_namespace"],
    }


def _without_redundancy(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A class without what can be derived: methods = keys of arity, signals = names of the signal signatures."""
    kept = {key: value for key, value in entry.items() if key not in DROPPED_MEMBERS and value not in ([], {})}
    kept.pop("decorated", None)
    if sorted(entry.get("arity", {})) == sorted(entry["methods"]):
        kept.pop("methods", None)
    if {signature.split("(")[0] for signature in entry["signal_signatures"]} == set(entry["signals"]):
        kept.pop("signals", None)
    kept["base"] = entry["base"]
    return kept


def _without_wrapper_internals(name: str, module: Mapping[str, Any]) -> dict[str, Any]:
    """parameterNodeWrapper's serializers and GUI creators are no API for users: only their names stay."""
    if name != "slicer.parameterNodeWrapper":
        return dict(module)
    return {**module, "classes": {key: {} for key in module.get("classes", {})}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("full_index", type=Path)
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    content = arguments.full_index.read_bytes()
    trimmed = trim(json.loads(content), hashlib.sha256(content).hexdigest())
    arguments.target.write_text(_one_class_a_line(trimmed), encoding="utf-8")
    print(f"{len(trimmed['qt_classes'])} classes, {arguments.target.stat().st_size} bytes")


def _one_class_a_line(index: Mapping[str, Any]) -> str:
    """JSON with one line an entry, so that a change of the index shows as a change of a few lines."""
    sections = []
    for section, entries in index.items():
        lines = [
            f"{json.dumps(key)}:{json.dumps(entries[key], sort_keys=True, separators=(',', ':'))}" for key in entries
        ]
        sections.append(f"{json.dumps(section)}:{{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


if __name__ == "__main__":
    main()
