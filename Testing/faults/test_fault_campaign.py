"""A short part of the fault campaign, and the page that tells of the whole one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults_page import HARM, PAGE, REPORT, page

HERE = Path(__file__).parent
SHORT = {"reading": 300, "writing": 60, "store": 44, "worker": 30, "weights": 120, "command": 120}
"""Faults of each part: some seconds of a processor that has nothing else to do."""

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks, signals and limits as Linux has them"
)


@on_linux
@pytest.mark.parametrize("part", SHORT)
def test_faults_do_no_harm(tmp_path: Path, part: str) -> None:
    report = tmp_path / "report.json"
    script, count = HERE / "campaign.py", str(SHORT[part])
    command = [sys.executable, str(script), "--part", part, "--faults", count, "--report", str(report)]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    figures = json.loads(report.read_text())["parts"][part]
    assert figures["total"] == SHORT[part]
    assert figures["harm"] == dict.fromkeys(HARM, 0)
    assert len(figures["endings"]) > 1, "faults that change nothing are none"


@on_linux
def test_damaged_bytes_are_refused_with_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz.py"), "--inputs", "6000"], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_page_is_that_of_its_report() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(REPORT.read_text(encoding="utf-8")))


def test_the_report_tells_of_no_harm() -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    assert all(part["harm"] == dict.fromkeys(HARM, 0) for part in report["parts"].values())
    assert all(one["findings"] == 0 for one in report["fuzz"].values())
