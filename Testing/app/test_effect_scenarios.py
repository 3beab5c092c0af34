"""The scenarios of the module's own test class, run in the harness. In Slicer the same ones run by Reload and Test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from MedSAMSegmentScenarios import FILES

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "MedSAMSegment" / "MedSAMSegmentScenarios"


NEED_WEIGHTS = {
    "two_actions_from_ct_to_3d_lung",
    "cancel_stops_and_a_killed_worker_is_replaced",
    "the_network_is_asked_for_a_first_look",
    "weights_of_the_users_own_are_imported_and_used",
}
NEED_SERVER = {"a_server_computes_once_the_user_has_agreed"}


def scenario_names() -> list[str]:
    """Read from the files: the scenarios themselves can only be imported in the application."""
    names = []
    for file in FILES:
        lines = (FOLDER / f"{file}.py").read_text(encoding="utf-8").splitlines()
        marked = [n for n, line in enumerate(lines) if line == "@scenario"]
        names += [lines[n + 1].split("(")[0].removeprefix("def ") for n in marked]
    return names


@pytest.fixture(scope="module")
def thin_chest_path(chest_ct_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every other slice of the sample chest CT: the same organs in half the time."""
    path = tmp_path_factory.mktemp("chest") / "CTChest.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(chest_ct_path))[:, :, ::2], str(path))
    return path


@pytest.fixture(scope="module")
def case(shared_application: Any, thin_chest_path: Path) -> Iterator[Any]:
    """The module loaded, the application started, and its test case: one for all, as Reload and Test has it."""
    import sys

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MEDSAM_CT_CHEST", str(thin_chest_path))
        shared_application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
        shared_application.finish_startup()
        case = sys.modules["MedSAMSegment"].MedSAMSegmentTest()
        case.setUp()
        yield case


@pytest.mark.parametrize("name", scenario_names())
def test_scenario(
    case: Any, shared_application: Any, name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in NEED_WEIGHTS | NEED_SERVER:
        checkpoint = request.getfixturevalue("lite_checkpoint")
        monkeypatch.setenv("MEDSAM_MODEL_DIR", str(checkpoint.parent))
    with a_server(name in NEED_SERVER) as line:
        monkeypatch.setenv("MEDSAM_TEST_SERVER", line)
        case.run_scenario(name)
    assert [str(error) for error in shared_application.errors] == [], "the application printed and swallowed errors"


@contextmanager
def a_server(wanted: bool) -> Iterator[str]:
    """Run `medsam-segment serve`, if it is wanted; the line that it prints."""
    if not wanted:
        yield ""
        return
    pytest.importorskip("fastapi")
    from service_support import served_process

    with served_process("--offline", "--device", "cpu", environment={}) as (_process, line):
        yield line


def test_the_test_class_runs_all_of_them(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAMSegmentScenarios import scenarios

    assert list(scenarios()) == scenario_names()
    ran: list[str] = []
    monkeypatch.setattr(type(case), "run_scenario", lambda self, name: ran.append(name))
    case.runTest()
    assert ran == scenario_names()
