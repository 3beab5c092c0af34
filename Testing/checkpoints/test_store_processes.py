"""Other processes: killed in the middle, two at once, one without the right to write."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from checkpoint_toys import CONTENT, entry_at
from loopback_server import Behaviour, serve

from MedSAMSegmentLib.cancellation import never_cancel
from MedSAMSegmentLib.checkpoints.folder import lock_file
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import Cancelled

HERE = Path(__file__).parent
PULL = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1])!r}]
from checkpoint_toys import entry_at, make_store
from MedSAMSegmentLib.errors import MedSAMError
try:
    print(make_store(Path(sys.argv[1])).pull(entry_at(sys.argv[2])))
except MedSAMError as error:
    sys.exit(str(error))
"""


def pull_elsewhere(folder: Path, address: str, *, prelude: str = "") -> subprocess.Popen[str]:
    """A process of its own that pulls the toy checkpoint into the folder."""
    command = [sys.executable, "-c", prelude + PULL, str(folder), address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def wait_until(true: object, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.01)


def test_a_killed_download_leaves_no_final_file_and_the_next_one_resumes(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT, bytes_per_second=400_000)
    with serve(behaviour) as address:
        entry = entry_at(address)
        process = pull_elsewhere(a_store.folder, address)
        part = a_store.folder / "toy.pth.download.part"
        wait_until(lambda: part.exists() and part.stat().st_size > 200_000)
        process.kill()
        process.communicate(timeout=120)
        assert not a_store.path(entry).exists()
        assert a_store.state(entry) == "missing"
        kept = part.stat().st_size
        behaviour.bytes_per_second = 0.0
        assert a_store.pull(entry).read_bytes() == CONTENT
    assert 0 < kept < len(CONTENT)
    assert behaviour.requests[-1]["Range"] == f"bytes={kept}-"


def test_two_processes_that_pull_at_once_download_once(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT, bytes_per_second=1_500_000)
    with serve(behaviour) as address:
        processes = [pull_elsewhere(a_store.folder, address) for _ in range(2)]
        outputs = [process.communicate(timeout=120) for process in processes]
        entry = entry_at(address)
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert a_store.path(entry).read_bytes() == CONTENT
    assert a_store.state(entry) == "ready"
    assert len(behaviour.requests) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="takes the right to write away as Linux does")
def test_waiting_for_another_process_can_be_cancelled(a_store: CheckpointStore) -> None:
    from filelock import FileLock

    looks: list[None] = []

    def at_the_second_look() -> bool:
        looks.append(None)
        return len(looks) > 1

    a_store.folder.mkdir()
    with FileLock(a_store.folder / "toy.pth.lock"), pytest.raises(Cancelled):
        a_store.pull(entry_at("https://127.0.0.1:9/"), cancel=at_the_second_look)


@pytest.mark.skipif(os.name != "posix", reason="there a file that is open cannot be deleted")
def test_a_lock_on_a_file_that_was_deleted_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import filelock

    path = tmp_path / "toy.pth.lock"
    tries: list[bool] = []

    class Late(filelock.FileLock):  # type: ignore[misc, valid-type]
        """Opened when the file was there, locked when it was not: as versions that do not look may do."""

        def acquire(self, *args: Any, **more: Any) -> Any:
            found = super().acquire(*args, **more)
            if not tries:
                path.unlink()
            tries.append(path.exists())
            return found

    monkeypatch.setattr(filelock, "FileLock", Late)
    with lock_file(tmp_path, "toy.pth", never_cancel):
        assert path.exists()
        assert tries == [False, True]


def test_a_lock_whose_file_is_deleted_again_and_again_is_held_by_one(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    taken: list[int] = []

    def work(number: int) -> None:
        for turn in range(60):
            with lock_file(tmp_path, "toy.pth", never_cancel, last=(number + turn) % 3 > 0):
                inside.touch(exist_ok=False)
                taken.append(number)
                inside.unlink()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result(timeout=120)
    assert sorted(set(taken)) == [0, 1, 2, 3]
    assert len(taken) == 240


def test_a_read_only_folder_is_named(a_store: CheckpointStore) -> None:
    a_store.folder.mkdir()
    a_store.folder.chmod(0o555)
    # The superuser may write anywhere: the child gives that power up (CAP_DAC_OVERRIDE from its bounding set).
    prelude = (
        "import ctypes, os, sys\n"
        "if not os.geteuid() and not os.environ.get('WITHOUT_OVERRIDE'):\n"
        "    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)\n"
        "    os.environ['WITHOUT_OVERRIDE'] = '1'\n"
        "    os.execv(sys.executable, [sys.executable, '-c', open('/proc/self/cmdline').read().split(chr(0))[2]]"
        " + sys.argv[1:])\n"
    )
    behaviour = Behaviour(CONTENT)
    try:
        with serve(behaviour) as address:
            process = pull_elsewhere(a_store.folder, address, prelude=prelude)
            _, complaint = process.communicate(timeout=120)
    finally:
        a_store.folder.chmod(0o755)
    assert process.returncode == 1
    assert f"The model folder {a_store.folder} cannot be written (Permission denied)." in complaint
    assert "MEDSAM_MODEL_DIR" in complaint
    assert list(a_store.folder.iterdir()) == []
    assert behaviour.requests == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_a_file_size_limit_reached_in_the_middle_leaves_nothing(a_store: CheckpointStore) -> None:
    prelude = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))\n"
    with serve(Behaviour(CONTENT)) as address:
        process = pull_elsewhere(a_store.folder, address, prelude=prelude)
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "The disk is full" in complaint
    assert {path.name for path in a_store.folder.iterdir()} <= {"toy.pth.lock"}


def test_the_store_imports_nothing_heavy() -> None:
    code = (
        "import sys, MedSAMSegmentLib.checkpoints.store, MedSAMSegmentLib.registry\n"
        "print([m for m in ('torch', 'requests', 'filelock', 'platformdirs', 'numpy') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, env=environment
    )
    assert output.stdout.strip() == "[]"
