"""The worker as it ships, with the real LiteMedSAM weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.errors import ModelError, UsageError
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import Progress
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import LIBRARY_FOLDER, worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

WAIT = 300.0
COMPUTE: dict[str, Any] = {"device": "cpu", "engine": "torch"}
"""Fixed, so that both sides compute alike: the fastest engine is found by a measurement, which may differ."""


def a_ball() -> tuple[np.ndarray, np.ndarray]:
    """A bright ball in noise, 9 slices of 96 x 80, and its mask."""
    z, y, x = np.ogrid[:9, :96, :80]
    ball = ((z - 4) / 4.5) ** 2 + ((y - 50) / 20) ** 2 + ((x - 40) / 18) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, ball.shape)
    return (np.where(ball, 180, 40) + noise).clip(0, 255).astype(np.uint8), ball


@pytest.mark.usefixtures("one_thread")
def test_the_worker_gives_what_a_session_in_this_process_gives(lite_checkpoint: Path) -> None:
    from MedSAMSegmentLib.inference import open_session

    volume, ball = a_ball()
    box = Box(i=(20, 60), j=(28, 72), k=(4, 5))
    client = WorkerClient(worker_command, PopenTransport)
    progress: list[Progress] = []
    try:
        remote = RemoteVolume(
            client, "lite_medsam", volume, slice_range=(3, 6), window="none", weights=lite_checkpoint, **COMPUTE
        )
        through = client.wait(remote.propagate([box], names=["ball"], on_progress=progress.append), WAIT)
        preview = client.wait(remote.segment_slice(0, 4, box), WAIT)
        second = client.wait(remote.segment_slice(0, 4, box, reading=2), WAIT)
        for asked in (remote.segment_slice(0, 4, box, reading=3), remote.propagate([box], reading=0)):
            with pytest.raises(UsageError, match=r"no reading [30]\. Use 1, or 2"):
                client.wait(asked, WAIT)
        assert client.generation == 1
    finally:
        client.close()
    with open_session("lite_medsam", volume, window="none", weights=lite_checkpoint, **COMPUTE) as session:
        here = session.propagate([box], names=["ball"])
        second_here = session.segment_slice(0, 4, box, reading=2)
    np.testing.assert_array_equal(through.objects[0].mask, here.objects[0].mask)
    assert through.objects[0].slices.keys() == here.objects[0].slices.keys() == {4, 5}
    for index, score in here.objects[0].slices.items():
        assert through.objects[0].slices[index].score == pytest.approx(score.score, abs=1e-4)
        assert through.objects[0].slices[index].flags == score.flags
    # Two slices, and the key slice inverted as well.
    assert (through.model, through.strategy, through.encodes) == ("lite_medsam", here.strategy, 3)
    np.testing.assert_array_equal(second.mask, second_here.mask)
    assert second.flags == second_here.flags
    overlap = 2 * (preview.mask & ball[4]).sum() / (preview.mask.sum() + ball[4].sum())
    assert overlap > 0.9
    assert [p.stage for p in progress[:3]] == ["load torch", "load model", "prepare volume"]
    assert progress[-1] == Progress(2, 2)


def test_a_missing_checkpoint_is_the_librarys_own_sentence(tmp_path: Path) -> None:
    client = WorkerClient(worker_command, PopenTransport)
    volume = RemoteVolume(client, "lite_medsam", a_ball()[0], device="cpu", weights=tmp_path / "missing.pth")
    try:
        with pytest.raises(ModelError, match=r"missing\.pth"):
            client.wait(volume.open(), WAIT)
    finally:
        client.close()


def test_the_clients_side_never_imports_torch_or_qt() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import MedSAMSegmentLib.worker.client, MedSAMSegmentLib.worker.remote_volume\n"
        "import MedSAMSegmentLib.worker.popen_transport, MedSAMSegmentLib.worker.qprocess_transport\n"
        "print(sorted({'torch', 'qt', 'slicer', 'scipy', 'SimpleITK'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(LIBRARY_FOLDER)]
    assert subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip() == "[]"
