"""`cohort run` as a user runs it: every case ends with a result or a reason, whatever is killed on the way."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from cohort_support import (
    BOX,
    CORRUPT,
    COUNT,
    TOO_LARGE,
    Ran,
    a_cohort,
    environment,
    finish,
    litter,
    outputs,
    quick,
    sidecar,
    write_image,
    write_manifest,
)
from filelock import FileLock
from kills import Tally, children, differences, disturb
from quick_cohort import answer_at_once

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.cohort import case as case_module
from MedSAMSegmentLib.cohort.case import KeptModel, Task, in_columns, run_case, write_failure
from MedSAMSegmentLib.cohort.case_process import EXIT_ORPHAN
from MedSAMSegmentLib.cohort.cases import CaseObject
from MedSAMSegmentLib.cohort.manifest import read_manifest
from MedSAMSegmentLib.cohort.planning import make_plan, weights_digest, write_plan
from MedSAMSegmentLib.cohort.state import StateReader
from MedSAMSegmentLib.errors import OutputError, WorkerError
from MedSAMSegmentLib.runs.options import RunOptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, limits and /proc of Linux")

GOOD = [f"c{number:02d}" for number in range(1, COUNT - 1)]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_case_stops_the_run(undisturbed: Ran) -> None:
    states = {name: sidecar(undisturbed.out, name)["state"] for name in (*GOOD, CORRUPT, TOO_LARGE)}
    assert states == {**dict.fromkeys(GOOD, "done"), CORRUPT: "failed", TOO_LARGE: "failed"}
    assert list(outputs(undisturbed.out)) == [f"{name}.seg.nrrd" for name in GOOD]
    assert undisturbed.finished.returncode == 6
    assert f"2 of {COUNT} cases failed: {CORRUPT}, {TOO_LARGE}." in undisturbed.finished.stderr
    assert litter(undisturbed.out) == []


def test_a_sidecar_says_why_a_case_failed(undisturbed: Ran) -> None:
    corrupt, too_large = (sidecar(undisturbed.out, name) for name in (CORRUPT, TOO_LARGE))
    assert corrupt["error"]["code"] == too_large["error"]["code"] == "input"
    assert "18432 bytes of voxels, the file has 900 bytes" in corrupt["error"]["message"]
    assert corrupt["error"]["cure"]
    assert too_large["error"]["message"] == "c12.nrrd does not fit in memory."
    assert (corrupt["tries"], too_large["tries"]) == (1, 2), "memory may be enough in another process, a file stays cut"


def test_a_sidecar_says_what_a_result_came_from(undisturbed: Ran) -> None:
    facts = sidecar(undisturbed.out, "c04")
    image, reference = facts["inputs"]
    assert (image["part"], image["sha256"]) == ("image", sha256(undisturbed.manifest.parent / "c04.nrrd"))
    assert (reference["part"], reference["file"]) == ("reference 1", "c04.seg.nrrd")
    (output,) = facts["outputs"]
    assert output["sha256"] == sha256(undisturbed.out / "segmentations" / "c04.seg.nrrd")
    assert len(facts["digest"]) == 64
    assert facts["objects"][0]["metrics"]["dice"] > 0.9
    assert facts["versions"]["MedSAMSegmentLib"]
    assert facts["seconds"] > 0
    assert facts["peak_memory_mb"] > 50
    assert [item["name"] for item in sidecar(undisturbed.out, "c03")["objects"]] == ["blob", "part"]


def test_what_is_done_is_left_alone_and_what_changed_is_done_again(copied: Ran) -> None:
    (copied.manifest.parent / "c02.nrrd").touch()  # another time, the same content
    write_image(copied.manifest.parent / "c05.nrrd", 99)
    write_image(copied.manifest.parent / f"{CORRUPT}.nrrd", 11)
    (copied.out / "segmentations" / "c07.seg.nrrd").unlink()
    (copied.out / "sidecars" / "c08.json").write_text('{"format": 1, "state"', encoding="utf-8")
    (copied.out / "segmentations" / "c08.seg.nrrd").unlink()  # that it is the cohort's own, nobody knows any more
    again_written = ("c07.seg.nrrd", "c08.seg.nrrd")
    before = outputs(copied.out)
    finished = finish(quick(copied.manifest, copied.out))
    assert finished.returncode == 0, finished.stderr
    again = [line.split()[1] for line in finished.stdout.splitlines() if line.startswith("[")]
    assert again == ["c05", "c07", "c08", CORRUPT]
    after = outputs(copied.out)
    assert after.pop("c05.seg.nrrd") != before.pop("c05.seg.nrrd")
    assert after.pop(f"{CORRUPT}.seg.nrrd")
    assert {**before, **{name: after[name] for name in again_written}} == after


def cases_run(finished: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split()[1] for line in finished.stdout.splitlines() if line.startswith("[")]


def test_what_the_user_corrected_or_put_there_is_left_alone(copied: Ran) -> None:
    folder, sidecars = copied.out / "segmentations", copied.out / "sidecars"
    write_image(copied.manifest.parent / f"{CORRUPT}.nrrd", 11)
    write_image(copied.manifest.parent / "c03.nrrd", 99)
    for name in ("c02", "c03", CORRUPT):  # corrected; corrected, of another image by now; drawn by hand
        (folder / f"{name}.seg.nrrd").write_bytes(b"by hand")
    (sidecars / "c04.json").write_text('{"format": 1, "state"', encoding="utf-8")
    before = outputs(copied.out)
    known = {name: sidecar(copied.out, name) for name in ("c02", "c03", CORRUPT)}
    finished = finish(quick(copied.manifest, copied.out))
    assert finished.returncode == 6, finished.stderr
    assert f"{COUNT - 1} cases: 7 done, 0 failed before, 4 left alone, 0 to run" in finished.stdout
    assert f"c02 is left alone: {folder / 'c02.seg.nrrd'} is not as this cohort wrote it" in finished.stdout
    assert f"4 of {COUNT - 1} cases failed: c02, c03, c04, {CORRUPT}. 4 of them were left alone" in finished.stderr
    assert "--overwrite" in finished.stderr
    assert outputs(copied.out) == before
    assert {name: sidecar(copied.out, name) for name in known} == known
    (folder / "c02.seg.nrrd").unlink()
    moved = finish(quick(copied.manifest, copied.out))
    assert (moved.returncode, cases_run(moved)) == (6, ["c02"])
    told = finish(quick(copied.manifest, copied.out, "--overwrite"))
    assert (told.returncode, cases_run(told)) == (0, ["c03", "c04", CORRUPT]), told.stderr
    assert b"by hand" not in outputs(copied.out).values()
    assert "0 to run" in finish(quick(copied.manifest, copied.out)).stdout


def a_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Task, Path]:
    """The one case of a cohort whose network answers at once, in this process."""
    monkeypatch.setattr(KeptModel, "get", KeptModel.get)
    answer_at_once()
    manifest, out = a_cohort(folder / "images", 1), folder / "out"
    plan = make_plan(read_manifest(manifest), RunOptions(""), {"": "0" * 64}, root=manifest.parent, out=out)
    write_plan(plan, out, manifest)
    return plan.tasks[0], out / "segmentations" / "c01.seg.nrrd"


def left_to_do(task: Task) -> tuple[list[str], list[str]]:
    """The ids that a new plan would run, and leave alone."""
    options = task.shared
    plan = make_plan([task.case], options, {"": "0" * 64}, root=Path(task.root), out=Path(task.out))
    return [found.case.id for found in plan.tasks], list(plan.kept)


def test_what_a_try_wrote_before_it_was_killed_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, output = a_task(tmp_path, monkeypatch)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(case_module, "write_thumbnail", killed)
        with pytest.raises(Killed):
            run_case(task, KeptModel())
    assert output.exists()
    assert sidecar(Path(task.out), "c01")["state"] == "running"
    assert left_to_do(task) == (["c01"], [])
    with monkeypatch.context() as patched:
        patched.setattr(case_module, "open_image", killed)  # this time before anything is written
        with pytest.raises(Killed):
            run_case(task, KeptModel())
    assert left_to_do(task) == (["c01"], [])
    output.write_bytes(b"by hand")
    assert left_to_do(task) == ([], ["c01"])
    output.unlink()
    assert run_case(task, KeptModel()).state == "done"
    assert left_to_do(task) == ([], [])


def test_what_a_try_wrote_before_it_failed_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, output = a_task(tmp_path, monkeypatch)

    def full(*_: object, **__: object) -> None:
        raise OutputError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(case_module, "write_thumbnail", full)
        assert run_case(task, KeptModel()).message == "The disk is full."
    assert output.exists()
    os.utime(Path(task.root) / "c01.nrrd", ns=(1, 1))  # a failed case is tried again when its image changes
    assert left_to_do(task) == (["c01"], [])
    write_failure(task, WorkerError("It was lost."), 1.0)
    os.utime(Path(task.root) / "c01.nrrd", ns=(2, 2))
    assert left_to_do(task) == (["c01"], [])
    output.write_bytes(b"by hand")
    assert left_to_do(task) == ([], ["c01"])


def test_a_file_that_appears_while_a_case_runs_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, output = a_task(tmp_path, monkeypatch)
    segment = case_module.segment

    def slow(*arguments: Any) -> Any:
        output.write_bytes(b"by hand")
        return segment(*arguments)

    monkeypatch.setattr(case_module, "segment", slow)
    finished = run_case(task, KeptModel())
    assert (finished.state, finished.code) == ("failed", "output")
    assert "is not as this cohort wrote it" in finished.message
    assert output.read_bytes() == b"by hand"
    assert run_case(replace(task, overwrite=True), KeptModel()).state == "done"


def test_a_reference_on_another_grid_fails_the_comparison_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, output = a_task(tmp_path, monkeypatch)
    small = sitk.ReadImage(str(Path(task.root) / "c01.nrrd"))[:, :, :2] > 90
    sitk.WriteImage(small, str(Path(task.root) / "small.nrrd"))
    case = replace(task.case, objects=(replace(task.case.objects[0], reference="small.nrrd"),))
    finished = run_case(replace(task, case=case), KeptModel())
    assert finished.state == "done"
    assert "blob was not compared with its reference: The reference has (2, 48, 64) voxels" in finished.message
    facts = sidecar(Path(task.out), "c01")
    assert finished.message in facts["notes"]
    assert facts["objects"][0]["metrics"] is None
    assert output.exists()


def test_an_error_names_the_columns_of_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, _ = a_task(tmp_path, monkeypatch)
    for prompt, said in ((("box", [1, 2, 9, 9]), "The column box has"), (("point", [1, 2]), "The column points has")):
        case = replace(task.case, objects=(CaseObject((prompt,)),))
        finished = run_case(replace(task, case=case), KeptModel())
        assert finished.message == f"{said} no slice numbers, but the image has 3 slices."
        assert sidecar(Path(task.out), "c01")["error"]["message"] == finished.message
    assert in_columns("Give --box, --line, --negative-point or --box-mm.") == "Give box, line, points or --box-mm."


def test_two_shards_are_one_run(undisturbed: Ran, four_done: Ran, tmp_path: Path) -> None:
    whole, parts = four_done.out, tmp_path / "parts"
    first = finish(quick(four_done.manifest, parts, "--shard", "1/2"))
    assert first.returncode == 0
    assert list(outputs(parts)) == ["c01.seg.nrrd", "c03.seg.nrrd"]
    assert finish(quick(four_done.manifest, parts, "--shard", "2/2")).returncode == 0
    assert differences(parts, whole) == []
    assert outputs(whole)["c01.seg.nrrd"] == outputs(undisturbed.out)["c01.seg.nrrd"]
    assert json.loads((parts / "cohort.json").read_text()) == json.loads((whole / "cohort.json").read_text())


def test_kills_at_random_points_change_no_byte(four_done: Ran, tmp_path: Path) -> None:
    """A hundred of them: Testing/cohort/kills.py."""
    tally = Tally()
    disturb(four_done.manifest, tmp_path / "out", tally, random.Random(time.time_ns()), kills=6, workers=1)
    assert tally.harm == []
    assert differences(tmp_path / "out", four_done.out) == []


def test_a_process_whose_driver_was_killed_while_it_started_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then the same command may run again, and has removed what was left behind."""
    task, _ = a_task(tmp_path, monkeypatch)
    before = sorted(Path(task.out).rglob("*"))
    command = [sys.executable, "-m", "MedSAMSegmentLib.cohort.case_process"]
    for _ in range(3):
        assert finish(command, input=json.dumps(asdict(task)) + "\n").returncode == EXIT_ORPHAN
    assert sorted(Path(task.out).rglob("*")) == before


def test_a_killed_process_costs_a_try(tmp_path: Path) -> None:
    manifest, out = a_cohort(tmp_path / "images", 1), tmp_path / "out"
    with subprocess.Popen(
        quick(manifest, out, "--retries", 1), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as driver:
        killed: set[int] = set()
        while driver.poll() is None and len(killed) < 2:
            for child in set(children(driver.pid)) - killed:
                os.kill(child, signal.SIGKILL)
                killed.add(child)
            time.sleep(0.02)
        driver.communicate()
    assert driver.returncode == 6
    facts = sidecar(out, "c01")
    assert (facts["state"], facts["error"]["code"], facts["tries"]) == ("failed", "worker", 2)
    assert "ended by the system, most likely because the memory was not enough" in facts["error"]["message"]
    assert "0 to run" in finish(quick(manifest, out)).stdout
    again = finish(quick(manifest, out, "--retry-failed"))
    assert again.returncode == 0, again.stderr
    assert sidecar(out, "c01")["state"] == "done"


def test_a_case_that_takes_too_long_is_stopped_and_not_tried_again(tmp_path: Path) -> None:
    manifest, out = a_cohort(tmp_path / "images", 1), tmp_path / "out"
    assert finish(quick(manifest, out, "--case-minutes", 0.002)).returncode == 6
    facts = sidecar(out, "c01")
    assert (facts["error"]["code"], facts["tries"]) == ("worker", 1)
    assert "more than 0.002 minutes" in facts["error"]["message"]


def test_ctrl_c_ends_all_and_the_same_command_goes_on(tmp_path: Path) -> None:
    manifest, out = a_cohort(tmp_path / "images", 3), tmp_path / "out"
    with subprocess.Popen(
        quick(manifest, out), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as driver:
        while driver.poll() is None and not list((out / "sidecars").glob("c01.json")):
            time.sleep(0.01)
        processes = children(driver.pid)
        driver.send_signal(signal.SIGINT)
        _, said = driver.communicate()
    assert driver.returncode == 5
    assert "what is done stays done" in said
    assert len(processes) == 1
    assert not Path(f"/proc/{processes[0]}").exists()
    state = StateReader(out).read()
    assert (state.running, state.failed) == ([], []), "a case whose process is gone is left to do"
    assert finish(quick(manifest, out)).returncode == 0


def test_one_driver_a_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, out = a_cohort(tmp_path / "images", 1), tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".run-1-of-1.lock"):
        words = ["cohort", "run", str(manifest), "-o", str(out), "--weights", str(manifest), "--model", "lite_medsam"]
        assert main([*words, "--offline"]) == 2
    assert "is being run already" in capsys.readouterr().err


@pytest.mark.parametrize(("running", "asked"), [("1-of-1", "1/2"), ("2-of-2", "1/1"), ("2-of-2", "1/3")])
def test_all_at_a_time_have_one_number_of_shards(
    running: str, asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, out = a_cohort(tmp_path / "images", 1), tmp_path / "out"
    out.mkdir()
    words = ["cohort", "run", str(manifest), "-o", str(out), "--weights", str(manifest), "--model", "lite_medsam"]
    with FileLock(out / f".run-{running}.lock"):
        assert main([*words, "--offline", "--shard", asked]) == 2
    said = f"{out} is being run already, as shard {running.replace('-of-', '/')}."
    assert said in capsys.readouterr().err
    assert not (out / "cohort.json").exists()


def test_shards_of_one_number_run_at_a_time(four_done: Ran, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".run-1-of-1.lock").touch()  # of a run that has ended
    with FileLock(out / ".run-2-of-2.lock"):
        assert finish(quick(four_done.manifest, out, "--shard", "1/2")).returncode == 0


def test_a_folder_that_cannot_be_written_to_has_a_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, out = a_cohort(tmp_path / "images", 1), tmp_path / "out"
    (out / ".run-1-of-1.lock").mkdir(parents=True)
    words = ["cohort", "run", str(manifest), "-o", str(out), "--weights", str(manifest), "--model", "lite_medsam"]
    assert main([*words, "--offline"]) == 3
    said = capsys.readouterr().err
    assert f"The folder {out} cannot be written to: " in said
    assert "Choose another" in said


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, out = a_cohort(tmp_path / "images", 3), tmp_path / "out"
    words = ["cohort", "run", str(manifest), "-o", str(out), "--weights", str(manifest), "--model", "lite_medsam"]
    assert main([*words, "--dry-run"]) == 0
    assert "3 cases: 0 done, 0 failed before, 3 to run" in capsys.readouterr().out
    assert not out.exists()


def test_what_drives_the_cases_loads_no_torch(tmp_path: Path) -> None:
    """Its processes do, once each: it takes longer than all else that the driver does."""
    manifest = a_cohort(tmp_path / "images", 1)
    words = ["cohort", "run", str(manifest), "-o", str(tmp_path / "out"), "--weights", str(manifest)]
    code = (
        "import sys; from MedSAMSegmentLib.cli import main; from MedSAMSegmentLib.cohort import local_engine\n"
        f"assert main({[*words, '--model', 'lite_medsam', '--dry-run']!r}) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


def test_an_image_is_no_place_for_an_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.nrrd", 1)
    row = {"id": "a", "image": "a.nrrd", "output": "a.nrrd", "box": BOX}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    words = ["cohort", "run", str(manifest), "-o", str(tmp_path), "--weights", str(manifest), "--model", "lite_medsam"]
    assert main(words) == 3
    assert "is one of the inputs" in capsys.readouterr().err


@pytest.mark.parametrize(("shard", "left"), [((1, 1), set()), ((1, 2), {".cohort.json.0123456789ab.json"})])
def test_a_list_of_cases_that_a_killed_driver_left_half_written_is_removed(
    shard: tuple[int, int], left: set[str], tmp_path: Path
) -> None:
    """But not by one of several shards: the others write it, too."""
    manifest, out = a_cohort(tmp_path / "images", 2), tmp_path / "out"
    out.mkdir()
    for name in (".cohort.json.0123456789ab.json", ".run-1-of-1.lock"):
        (out / name).touch()
    options, weights = RunOptions(""), {"": "0" * 64}
    plan = make_plan(read_manifest(manifest), options, weights, root=manifest.parent, out=out, shard=shard)
    write_plan(plan, out, manifest)
    assert {path.name for path in out.iterdir() if path.is_file()} == {"cohort.json", ".run-1-of-1.lock"} | left


def test_a_case_gives_the_bytes_of_a_run(
    lite_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real network, on one slice."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    write_image(images / "c01.nrrd", 1)
    sitk.WriteImage(sitk.ReadImage(str(images / "c01.nrrd"))[:, :, 1:2], str(images / "c01.nrrd"))
    box = "14 10 50 38"
    manifest = write_manifest(images / "m.csv", [{"id": "c01", "image": "c01.nrrd", "box": box, "name": "blob"}])
    words = ["--box", *box.split(), "--name", "blob", "-o", str(tmp_path / "run.seg.nrrd"), "-q"]
    assert main(["run", str(images / "c01.nrrd"), *words]) == 0
    plan = make_plan(read_manifest(manifest), RunOptions(""), {"": weights_digest(None, None)}, root=images, out=out)
    write_plan(plan, out, manifest)
    task = Task.of(json.loads(json.dumps(asdict(plan.tasks[0]))))
    assert (task.case, task.request) == (plan.tasks[0].case, plan.tasks[0].request)
    assert run_case(task, KeptModel()).state == "done"
    assert outputs(out) == {"c01.seg.nrrd": (tmp_path / "run.seg.nrrd").read_bytes()}
    assert sidecar(out, "c01")["model"]["weights_sha256"] == sha256(lite_checkpoint)
