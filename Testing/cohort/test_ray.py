"""The engine Ray: two actors, one of which is killed, give what processes give."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cohort_support import a_cohort, environment, finish, quick, sidecar
from kills import differences

pytest.importorskip("ray", reason="ray is not installed: pip install 'MedSAMSegmentLib[ray]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")

SETTINGS = {"RAY_raylet_start_wait_time_s": "300"}
"""A machine with other work needs longer than Ray allows for."""


def running_process(out: Path, killed: set[int]) -> int | None:
    """Return the process that a sidecar names as running its case."""
    for path in sorted((out / "sidecars").glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            facts = sidecar(out, path.stem)
            if facts["state"] == "running" and facts["process"] not in killed:
                return int(facts["process"])
    return None


def test_two_actors_of_which_one_is_killed_change_no_byte(tmp_path: Path) -> None:
    manifest, out = a_cohort(tmp_path / "images", 6), tmp_path / "out"
    assert finish(quick(manifest, tmp_path / "undisturbed")).returncode == 0
    home = tmp_path / "home"
    home.mkdir()
    command = quick(manifest, out, "--engine", "ray", "--workers", 2)
    killed: set[int] = set()
    with subprocess.Popen(
        command, env=environment(HOME=str(home), **SETTINGS), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as driver:
        while driver.poll() is None and not killed:
            process = running_process(out, killed)
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.add(process)
            time.sleep(0.002)
        said, _ = driver.communicate()
    assert driver.returncode == 0, said.decode("utf-8", "replace")
    assert killed
    assert differences(out, tmp_path / "undisturbed") == []
    tries = [sidecar(out, f"c{number:02d}")["tries"] for number in range(1, 7)]
    assert sorted(tries) == [1, 1, 1, 1, 1, 2], "the killed process cost its case a try"
