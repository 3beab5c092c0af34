"""The environment of the processes that the module starts: what is set while Slicer runs reaches a foreign Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def foreign(application: Any, tmp_path: Path) -> Path:
    """Another interpreter, chosen by the user: each of its starts adds its variables to the file `environment`."""
    from MedSAMSegmentLib.ui.worker_settings import choose_interpreter

    launcher = tmp_path / "foreign python"
    launcher.write_text(f'#!/bin/sh\nenv >> "{tmp_path / "environment"}"\nexec "{sys.executable}" "$@"\n')
    launcher.chmod(0o755)
    choose_interpreter(str(launcher))
    return tmp_path / "environment"


def variables_of(starts: Path) -> dict[str, str]:
    """Variables of the last start."""
    return dict(line.split("=", 1) for line in starts.read_text(encoding="utf-8").splitlines() if "=" in line)


def test_the_environment_of_the_start_is_a_snapshot(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    monkeypatch.setenv("SET_LATER", "1")
    assert "SET_LATER" not in slicer.util.startupEnvironment()
    assert "HOME" in slicer.util.startupEnvironment()


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a shell script")
def test_what_is_set_later_reaches_every_process(
    application: Any, foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "models set later"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/Slicer/lib")
    slicer.util.selectModule("MedSAMSegment")
    panel = module.widgetRepresentation().self().panel

    panel.interpreter.frame.collapsed = False
    application.actions.press(panel.interpreter.check)
    application.wait_until(lambda: panel.interpreter.answer is not None, 120)
    check = variables_of(foreign)
    foreign.unlink()
    wrong = tmp_path / "some.pth"
    wrong.write_bytes(b"x" * 1000)
    panel.models.import_path(str(wrong))
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    job = variables_of(foreign)
    foreign.unlink()
    from MedSAMSegmentLib.ui.worker_settings import make_client

    worker = make_client()
    worker.prepare()
    application.wait_until(lambda: "pid" in worker.worker, 120)
    worker.close()

    for variables in (check, job, variables_of(foreign)):
        assert variables["MEDSAM_MODEL_DIR"] == str(tmp_path / "models set later")
        assert variables["https_proxy"] == "http://127.0.0.1:9"
        assert variables.get("LD_LIBRARY_PATH") != "/opt/Slicer/lib", "Slicer's libraries stay Slicer's"
    panel.cleanup()


def test_the_folder_of_the_panel_is_told_to_every_interpreter(
    application: Any, foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAMSegmentLib.ui.worker_settings import (
        choose_interpreter,
        choose_model_folder,
        model_store,
        worker_environment,
    )

    monkeypatch.delenv("MEDSAM_MODEL_DIR", raising=False)
    for interpreter in (str(foreign.parent / "foreign python"), ""):
        choose_interpreter(interpreter)
        choose_model_folder("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert worker_environment()["MEDSAM_MODEL_DIR"] == str(model_store().folder)
        choose_model_folder(str(tmp_path / "chosen"))
        assert worker_environment()["MEDSAM_MODEL_DIR"] == str(tmp_path / "chosen")


def test_an_environment_without_platformdirs_leaves_the_folder_to_the_child(
    application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAMSegmentLib.ui.worker_settings import worker_environment

    monkeypatch.delenv("MEDSAM_MODEL_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert "MEDSAM_MODEL_DIR" not in worker_environment()


SLICER = "/opt/Slicer"


@pytest.mark.parametrize(
    ("start", "now", "expected"),
    [
        ({"PATH": "/usr/bin"}, {"PATH": "/opt/Slicer/bin:/usr/bin"}, {"PATH": "/usr/bin"}),
        ({}, {"MEDSAM_ENGINE": "torch", "MEDSAM": "1"}, {"MEDSAM_ENGINE": "torch"}),
        ({"NO_PROXY": "a"}, {"NO_PROXY": "a,b"}, {"NO_PROXY": "a,b"}),
        ({"HTTP_PROXY": "a"}, {}, {}),
        ({"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ({"http_proxy": "a", "HTTP_PROXY": "b"}, {"http_proxy": "c"}, {"http_proxy": "c"}),
        ({}, {"SSL_CERT_FILE": "/opt/Slicer/share/Slicer.crt"}, {}),
        ({"SSL_CERT_FILE": "/etc/a.pem"}, {"SSL_CERT_FILE": "/opt/Slicer/a.crt"}, {"SSL_CERT_FILE": "/etc/a.pem"}),
        ({}, {"SSL_CERT_FILE": "/etc/hospital.pem"}, {"SSL_CERT_FILE": "/etc/hospital.pem"}),
        ({}, {"REQUESTS_CA_BUNDLE": "/etc/hospital.pem"}, {"REQUESTS_CA_BUNDLE": "/etc/hospital.pem"}),
        ({}, {"PIP_INDEX_URL": "https://mirror"}, {"PIP_INDEX_URL": "https://mirror"}),
        ({}, {"PYTHONHOME": "/opt/Slicer/lib/Python", "QT_PLUGIN_PATH": "x"}, {}),
    ],
)
def test_which_variables_are_followed(
    application: Any, start: dict[str, str], now: dict[str, str], expected: dict[str, str]
) -> None:
    from MedSAMSegmentLib.ui.worker_settings import followed

    assert followed(start, now, SLICER) == expected


def test_slicers_own_python_gets_slicers_environment(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAMSegmentLib.ui.worker_settings import choose_interpreter, worker_environment

    choose_interpreter("")
    monkeypatch.setenv("ANYTHING", "1")
    assert worker_environment()["ANYTHING"] == "1"
    assert worker_environment()["PATH"] == os.environ["PATH"]
