"""Run inside 3D Slicer (`--python-script`): all scenarios of the module, as Reload and Test runs them.

    MEDSAM_APP_TEST_REPORT   file for the results, JSON
    MEDSAM_APP_TEST_ONLY     comma-separated names; all where it is not set
    MEDSAM_APP_TEST_ROUNDS   how often all of them run in this one session; 1 where it is not set

The application ends with 0 when all passed, else with 1. `app_test.py` beside this file starts it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

import slicer

LAYOUT = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView


def main() -> int:
    """Run the scenarios, write the report, and return the exit status."""
    slicer.app.layoutManager().setLayout(LAYOUT)
    slicer.util.selectModule("SegmentEditor")
    slicer.app.processEvents()
    from MedSAMSegmentScenarios import scenarios
    from MedSAMSegmentScenarios.suite import run_suite

    case = sys.modules["MedSAMSegment"].MedSAMSegmentTest()
    only = [name for name in os.environ.get("MEDSAM_APP_TEST_ONLY", "").split(",") if name]
    chosen = {name: story for name, story in scenarios().items() if not only or name in only}
    rounds = []
    for _ in range(int(os.environ.get("MEDSAM_APP_TEST_ROUNDS", "1"))):
        report = run_suite(chosen, case.run_scenario)
        print(report)
        rounds.append(asdict(report))
        slicer.mrmlScene.Clear()
    facts = {
        "slicer": slicer.app.applicationVersion,
        "python": sys.version.split()[0],
        "platform": str(slicer.app.platformName) if hasattr(slicer.app, "platformName") else slicer.app.platform,
        "rounds": rounds,
    }
    Path(os.environ["MEDSAM_APP_TEST_REPORT"]).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return 1 if any(one["failed"] for one in rounds) else 0


try:
    status = main()
except Exception:  # noqa: BLE001 - the application would stay open
    traceback.print_exc()
    status = 1
slicer.util.exit(status)
