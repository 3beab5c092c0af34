"""Run the module's scenarios in a real 3D Slicer and print a table.

    python Testing/application/app_test.py /path/to/Slicer [--only NAME,...] [--rounds 2] [--platform offscreen]

Slicer starts with settings of its own (a temporary folder) and ends by itself. Without a display, and without
`--platform`, `xvfb-run` is used where it is installed, else Qt's offscreen platform. The environment is passed on:
`MEDSAM_MODEL_DIR` names a folder with weights, `MEDSAM_CT_CHEST` the file of the sample chest CT where Slicer may not
fetch it. Ends with 0 when all scenarios passed, nothing was printed as an error and no process was left, else with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODULE = HERE.parents[1] / "MedSAMSegment"
ERROR = re.compile(r"^\s*(Traceback|\w*(Error|Exception)\b.*:|\[CRITICAL\]|\[ERROR\]|ERROR: In )")
LONGEST_STALL_S = 0.2
GRACE_SECONDS = 5.0
MARK = "MEDSAM_APP_TEST_MARK"


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slicer", type=Path, help="the Slicer executable")
    parser.add_argument("--only", default="", help="comma-separated names of scenarios")
    parser.add_argument("--rounds", type=int, default=1, help="how often all run in the one session")
    parser.add_argument("--platform", default="", help="Qt platform, for example offscreen or xcb")
    parser.add_argument("--minutes", type=float, default=60, help="end Slicer after so long")
    parser.add_argument("--log", type=Path, help="keep what Slicer printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medsam-app-test-") as folder:
        return run(options, Path(folder))


def run(options: argparse.Namespace, folder: Path) -> int:
    """Run Slicer once with a home in `folder`."""
    report = folder / "report.json"
    environment = {
        **os.environ,
        "MEDSAM_APP_TEST_REPORT": str(report),
        "MEDSAM_APP_TEST_ONLY": options.only,
        "MEDSAM_APP_TEST_ROUNDS": str(options.rounds),
        MARK: folder.name,
    }
    before = files_of(environment.get("MEDSAM_MODEL_DIR", ""))
    command = [*display(options.platform, environment), str(options.slicer), *ARGUMENTS]
    begun = time.monotonic()
    with (folder / "log.txt").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = process.wait(timeout=60 * options.minutes)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
            print(f"Slicer was ended after {options.minutes:g} minutes.")
        log.seek(0)
        lines = log.read().splitlines()
    if options.log is not None:
        options.log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    problems = [line for line in lines if ERROR.match(line)]
    left = processes_left(folder.name)
    added = sorted(files_of(environment.get("MEDSAM_MODEL_DIR", "")) - before)
    if not report.is_file():
        print("\n".join(lines[-40:]))
        print(f"Slicer ended with {status} and left no report.")
        return 1
    found = json.loads(report.read_text(encoding="utf-8"))
    failed = print_table(found)
    print(f"Slicer {found['slicer']}, Python {found['python']}: {time.monotonic() - begun:.0f} s, exit status {status}")
    for title, names in (("printed as errors", problems), ("processes left", left), ("files left", added)):
        print(f"{title}: {len(names)}")
        print("".join(f"  {name}\n" for name in names[:20]), end="")
    return 1 if status or failed or problems or left or added else 0


ARGUMENTS = (
    "--no-splash",
    "--testing",
    "--disable-settings",
    "--ignore-slicerrc",
    "--additional-module-paths",
    str(MODULE),
    "--python-script",
    str(HERE / "run_scenarios.py"),
)


def display(platform: str, environment: dict[str, str]) -> list[str]:
    """Return what comes before Slicer's own command; sets the Qt platform in `environment`."""
    if platform:
        environment["QT_QPA_PLATFORM"] = platform
        return []
    if sys.platform != "linux" or environment.get("DISPLAY") or environment.get("QT_QPA_PLATFORM"):
        return []
    runner = shutil.which("xvfb-run")
    if runner is not None:
        return [runner, "-a", "-s", "-screen 0 1280x720x24"]
    environment["QT_QPA_PLATFORM"] = "offscreen"
    return []


def print_table(found: dict[str, Any]) -> int:
    """Print a line for each scenario of each round; return how many failed."""
    failures = 0
    for number, one in enumerate(found["rounds"], 1):
        print(
            f"round {number}: {len(one['passed'])} passed, {len(one['skipped'])} skipped, {len(one['failed'])} failed"
        )
        print("| scenario | result | seconds | longest stall s | computing s |\n| --- | --- | ---: | ---: | ---: |")
        for name, seconds in one["seconds"].items():
            reason = one["failed"].get(name) or one["skipped"].get(name) or ""
            result = "failed" if name in one["failed"] else "skipped" if name in one["skipped"] else "passed"
            stall = one["longest_stall"][name]
            mark = " (!)" if stall > LONGEST_STALL_S else ""
            what = f"{result}: {reason.splitlines()[0][:160]}" if reason else result
            print(f"| {name} | {what} | {seconds:.1f} | {stall:.2f}{mark} | {one['longest_computing'][name]:.2f} |")
        failures += len(one["failed"])
    return failures


def files_of(folder: str) -> set[str]:
    """Return the files below the model folder; none where it is not named."""
    return {str(path) for path in Path(folder).rglob("*") if path.is_file()} if folder else set()


def processes_left(mark: str) -> list[str]:
    """Return those of `processes_with` that do not end within a moment: xvfb-run does not wait for its screen."""
    until = time.monotonic() + GRACE_SECONDS
    while (left := processes_with(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def processes_with(mark: str) -> list[str]:
    """Return the command lines of processes that inherited our mark and live on. Linux only; none elsewhere."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # gone, or not ours to read
    return found


if __name__ == "__main__":
    sys.exit(main())
