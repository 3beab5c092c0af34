"""Part "runs": whole runs of the command line with the real network, while the process is attacked.

Outputs are whole or not there, and a run that ended well has written the masks that a quiet one writes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from attacks import CLOSED, FULL, VANISHED, Job, attack, judge, measured, possible_kinds
from fault_tally import Fault, Harm, Tally
from forked import fast_folder
from part_command import command_line, require_clear
from PIL import Image

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.io.read_segmentation import read_segmentation

PART, TARGET = "runs", "a whole run"


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    import torch

    torch.set_num_threads(1)
    store = CheckpointStore()
    weights = store.path(registry.get("lite_medsam"))
    if not weights.is_file():
        tally.skip(TARGET, f"there is no {weights.name} in the model folder")
        return
    with tempfile.TemporaryDirectory(prefix="medsam-faults-", dir=fast_folder()) as place:
        root = Path(place)
        os.chmod(root, 0o755)
        os.environ.update(MEDSAM_MODEL_DIR=str(root / "models"), MEDSAM_CACHE_DIR=str(root / "cache"))
        os.environ["MEDSAM_ENGINE"] = "torch"
        _attacked_runs(root, weights, numbers, seed, tally)


def _attacked_runs(root: Path, weights: Path, numbers: Iterator[int], seed: int, tally: Tally) -> None:
    """Attack whole runs with the real network: image and prompts in, masks, picture and report out."""
    models, folder, image = root / "models", root / "out", root / "image.nrrd"
    models.mkdir()
    os.symlink(weights, models / weights.name)
    CheckpointStore(models).verify(registry.get("lite_medsam"))
    array = np.full((2, 40, 50), 20, np.int16)
    array[:, 10:30, 12:34] = 180
    array += np.random.default_rng(1).integers(0, 9, array.shape).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(image))
    outputs = ("-o", "m.nii.gz", "--report", "r.json", "--overlay", "o.png")
    placed = [item if index % 2 == 0 else str(folder / item) for index, item in enumerate(outputs)]
    command = ("run", str(image), "--box", "10", "8", "0", "36", "32", "1", "--range", "0", "0", "--overwrite", *placed)

    def work() -> tuple[int, str]:
        code, _said, complaint = command_line((*command, "--offline", "--name", "new"))
        return code, complaint

    _empty(folder)
    job = measured(folder, work)
    wanted = [item.mask_zyx for item in read_segmentation(folder / "m.nii.gz").segments]
    kinds = possible_kinds(tally)
    for number in numbers:
        rng = random.Random(f"{seed}:{PART}:{number}")
        kind = kinds[number % len(kinds)]
        _attack_run(Fault(PART, kind, TARGET, number), job, wanted, rng, tally)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chmod(folder, 0o777)


def _attack_run(fault: Fault, job: Job, wanted: list[Any], rng: random.Random, tally: Tally) -> None:
    _empty(job.folder)
    look: Callable[[], dict[str, str]] = partial(_look, job.folder, wanted)
    ending = attack(job, fault.kind, rng, look)
    done = judge(ending, fault, tally)
    code, complaint = ending.answer if done and isinstance(ending.answer, tuple) else (None, "")
    if code is not None:
        try:
            require_clear(code, complaint)
        except RuntimeError as error:
            tally.found(fault, Harm.UNCLEAR, str(error))
    for name, problem in (ending.seen or {}).items():
        if problem:
            tally.found(fault, Harm.HALF, f"{name}: {problem}")
    if code == 0 and fault.kind not in (VANISHED, FULL, CLOSED) and len(ending.seen or {}) < 3:
        tally.found(fault, Harm.WRONG, f"exit code 0, and only {sorted(ending.seen)} are there")
    tally.add(fault, "killed" if ending.was_killed else "done" if code == 0 else "refused")


def _look(folder: Path, wanted: list[Any]) -> dict[str, str]:
    """Return what is wrong with each output that is there."""
    checks: dict[str, Callable[[Path], None]] = {
        "m.nii.gz": lambda path: _same(path, wanted),
        "r.json": lambda path: json.loads(path.read_text())["objects"] and None,
        "o.png": lambda path: Image.open(path).load() and None,
    }
    found = {}
    for name, check in checks.items():
        if (folder / name).exists():
            try:
                check(folder / name)
                found[name] = ""
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it is told
                found[name] = repr(error)
    return found


def _same(path: Path, wanted: list[Any]) -> None:
    found = [item.mask_zyx for item in read_segmentation(path).segments]
    assert len(found) == len(wanted), "other segments"
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)), "another mask"
