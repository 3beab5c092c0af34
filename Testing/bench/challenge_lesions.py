"""Both challenges on public lesions, beside the published baseline: python Testing/bench/challenge_lesions.py FOLDER

    challenge_lesions.py FOLDER --lesions CASE.npz ... [--baseline REPOSITORY --python PYTHON --weights FILE]
    challenge_lesions.py FOLDER --parity PARITY.json --json build/challenges.json
    python Resources/docs/make_tables.py challenges=build/challenges.json

The first makes cases of both years in FOLDER from volumes with a reference, and runs them: `challenge predict`,
`challenge interactive --keep-open`, and the baseline, the script `CVPR24_LiteMedSAM_infer.py` of a checkout of MedSAM
(branch LiteMedSAM) with its pictures switched off. Each run is a process of its own for each case, as in the challenge,
with the seconds that passed and those of a processor; with others at work the latter say more. A run whose seconds are
known is not repeated. `--anew PART` also runs the cases with this part of a name with nothing kept from step to step.
The second gathers figures; PARITY is what `Testing/parity/compare_challenges.py` wrote.

Boxes: of 2024 the reference's own; of 2025 that of its middle slice, wider by up to 5/256 of the slice (seed 2025).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MedSAMSegmentLib.evaluation.challenge_scores import RULES_2024, score
from MedSAMSegmentLib.io.challenge_npz import read_npz

SEED = 2025
LARGEST_SHIFT = 5
COMMAND = (sys.executable, "-m", "MedSAMSegmentLib", "challenge")
ENGINE = ("--engine", "torch")
"""An engine that has to be prepared for each process does not pay here."""

BASELINE = "CVPR24_LiteMedSAM_infer.py"


def make_cases(lesions: Sequence[Path], folder: Path) -> None:
    """Write each volume as a case of 2024, a case of 2025, and a reference."""
    rng = np.random.default_rng(SEED)
    for name in ("24", "25", "gts", "seconds"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in lesions:
        arrays = read_npz(path, ("imgs", "gts", "spacing"))
        gts, image = (arrays["gts"] > 0).astype(np.uint8), {"imgs": arrays["imgs"], "spacing": arrays["spacing"]}
        name = f"3D_{path.name}"
        z, y, x = np.nonzero(gts)
        rows = np.array([[x.min(), y.min(), z.min(), x.max(), y.max(), z.max()]])
        np.savez_compressed(folder / "24" / name, **image, boxes=rows)
        boxes: Any = [middle_box(gts, int(rng.integers(0, LARGEST_SHIFT + 1)))]
        np.savez_compressed(folder / "25" / name, **image, gts=gts, boxes=boxes)
        np.savez_compressed(folder / "gts" / name, gts=gts, spacing=arrays["spacing"])


def middle_box(gts: np.ndarray, shift: int) -> dict[str, int]:
    """Return the box of a mask (z,y,x) on its middle slice, wider by `shift` of 256 on each side."""
    slices = np.unique(np.nonzero(gts)[0])
    middle = int(slices[len(slices) // 2])
    y, x = np.nonzero(gts[middle])
    height, width = gts.shape[1:]
    dy, dx = shift * height // 256, shift * width // 256
    return {
        "z_min": int(slices[0]), "z_max": int(slices[-1]), "z_mid": middle,
        "z_mid_x_min": max(0, int(x.min()) - dx), "z_mid_x_max": min(width - 1, int(x.max()) + dx),
        "z_mid_y_min": max(0, int(y.min()) - dy), "z_mid_y_max": min(height - 1, int(y.max()) + dy),
    }  # fmt: skip


def timed(command: Sequence[object], note: Path, where: Path | None = None) -> None:
    """Run a process and note its seconds; nothing is done where they are noted already."""
    if note.exists():
        return
    started = time.perf_counter()
    with subprocess.Popen([str(word) for word in command], cwd=where) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    seconds = {"wall": time.perf_counter() - started, "cpu": used.ru_utime + used.ru_stime}
    note.write_text(json.dumps(seconds), encoding="utf-8")


def run(folder: Path, options: argparse.Namespace) -> None:
    """Answer all cases of the folder in all ways."""
    interactive = [*COMMAND, "interactive", "--overwrite", *ENGINE]
    for case in sorted((folder / "24").iterdir()):
        note = folder / "seconds" / case.stem
        timed(
            [*COMMAND, "predict", "--year", 24, "-i", case, "-o", folder / "answers24", "--overwrite", *ENGINE],
            note.with_suffix(".24"),
        )
        inputs = ["-i", folder / "25" / case.name, "-o"]
        kept = [*interactive, *inputs, made(folder / "answers25") / case.stem, "--keep-open"]
        timed(kept, note.with_suffix(".25"))
        if options.anew and options.anew in case.stem:
            timed([*interactive, *inputs, made(folder / "anew") / case.stem], note.with_suffix(".anew"))
        if options.baseline is not None:
            alone = made(folder / "alone" / case.stem)
            (alone / case.name).write_bytes(case.read_bytes())
            weights = ["-lite_medsam_checkpoint_path", options.weights.absolute()]
            command = [options.python.absolute(), BASELINE, "-i", alone, "-o", made(folder / "baseline"), *weights]
            timed(command, note.with_suffix(".base"), options.baseline)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def gather(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of each case that was answered in all ways."""
    rows = []
    for case in sorted((folder / "24").iterdir()):
        notes = [folder / "seconds" / f"{case.stem}.{kind}" for kind in ("24", "25", "base")]
        if not all(note.exists() for note in notes):
            continue
        names = ("ours", "interactive", "baseline")
        seconds = {name: json.loads(n.read_text(encoding="utf-8")) for name, n in zip(names, notes, strict=True)}
        anew = folder / "seconds" / f"{case.stem}.anew"
        if anew.exists():
            seconds["anew"] = json.loads(anew.read_text(encoding="utf-8"))
        with (folder / "answers25" / case.stem / "metrics.csv").open(newline="", encoding="utf-8") as file:
            (run_of,) = csv.DictReader(file)
        steps = {name: float(run_of[name]) for name in ("DSC_1", "DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final")}
        rows.append(
            {
                "case": case.stem.removeprefix("3D_CT_Lesion_")[:6],
                "ours": scores_of(folder / "answers24" / case.name, folder / "gts" / case.name),
                "baseline": scores_of(folder / "baseline" / case.name, folder / "gts" / case.name),
                "interactive": steps,
                "seconds": seconds,
            }
        )
    return rows


def scores_of(answer: Path, reference: Path) -> Mapping[str, float]:
    gts = read_npz(reference, ("gts", "spacing"))
    found = score(gts["gts"], read_npz(answer, ("segs",))["segs"], gts["spacing"].tolist(), RULES_2024)
    return {"dsc": found.dsc, "nsd": found.nsd or 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lesions", type=Path, nargs="+", default=[])
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--anew", metavar="PART")
    parser.add_argument("--parity", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.lesions:
        make_cases(options.lesions, folder)
        run(folder, options)
    if options.json is not None:
        parity = json.loads(options.parity.read_text(encoding="utf-8"))
        figures = {"parity": parity, "rows": gather(folder)}
        options.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
