"""Run the challenges' own evaluators on seeded cases and keep what they find.

    python Testing/parity/make_challenge_golden.py --scripts FOLDER --count 24 -o Testing/parity/golden/challenges.json
    python Testing/parity/make_challenge_golden.py --scripts FOLDER --count 200 -o FILE.json
    python Testing/parity/compare_challenges.py FILE.json

FOLDER holds the published files as they are: `compute_metrics.py` and `SurfaceDice.py` (MedSAM, branch LiteMedSAM,
`evaluation/`) and `CVPR25_iter_eval.py` (CVPR-MedSegFMCompetition). They want numpy 1.26, scipy 1.12, pandas, tqdm,
nibabel, scikit-image and connected-components-3d 3.12, in an environment of their own; of torch only "no GPU" is asked,
which is said here. In the place of a container a function answers (`challenge_cases.answer`), called where the script
calls docker. The interactive one runs twice: as it is, and once with errors of `HALVED_ABOVE` voxels taken for large.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import runpy
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from challenge_cases import HALVED_ABOVE, PICTURES, STEPS, answer, make_case, make_picture

FIGURES = (
    *("DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final"),
    *(f"{measure}_{step + 1}" for step in range(STEPS) for measure in ("DSC", "NSD")),
)


def scores_of_2024(scripts: Path, folder: Path, count: int) -> dict[str, list[float]]:
    """Return DSC and NSD of each case before they are rounded for the table."""
    segs, gts = folder / "segs", folder / "gts"
    segs.mkdir()
    gts.mkdir()
    names = {}
    for number in range(count):
        picture = number % PICTURES == 0
        case = make_picture(number) if picture else make_case(number)
        names[str(number)] = name = f"{'2D' if picture else '3D'}_{number}.npz"
        np.savez(gts / name, **{key: value for key, value in case.items() if key != "imgs"})
        found = answer(case["gts"] if not picture else case["gts"][np.newaxis], [], 0, number)
        np.savez(segs / name, segs=found[0] if picture else found)
    sys.argv = ["compute_metrics.py", "-s", str(segs), "-g", str(gts)]
    script = runpy.run_path(str(scripts / "compute_metrics.py"))
    return {number: [float(value) for value in script["compute_metrics"](name)[1:]] for number, name in names.items()}


def runs_of_2025(script: Path, folder: Path, count: int) -> dict[str, Any]:
    """Return what the evaluator of 2025 writes for each case, and all clicks that it made."""
    folder.mkdir()
    images = folder / "imgs"
    teams = folder / "teams"
    images.mkdir()
    teams.mkdir()
    (teams / "team.tar.gz").touch()
    for number in range(count):
        np.savez(images / f"{number:04d}.npz", **make_case(number))
    clicks: dict[str, Any] = {}
    step: dict[str, int] = {}

    def container(command: str) -> int:
        if "container run" not in command:
            return 0
        (path,) = Path("inputs").glob("*.npz")
        with np.load(path, allow_pickle=True) as case:
            arrays = {name: case[name] for name in case.files}
        made = arrays["clicks"].tolist() if "clicks" in arrays else []
        if path.stem not in step and "boxes" not in arrays:
            step[path.stem] = 1
        now = step.setdefault(path.stem, 0)
        step[path.stem] += 1
        clicks[path.stem] = [{kind: np.array(places).tolist() for kind, places in one.items()} for one in made]
        np.savez(Path("outputs") / path.name, segs=answer(arrays["gts"], made, now, int(path.stem)))
        return 0

    cuda = types.SimpleNamespace(is_available=lambda: False, empty_cache=lambda: None)
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)  # type: ignore[assignment]
    before, system, os.system = Path.cwd(), os.system, container
    places = {"-i": images, "-o": folder / "out", "-d": teams, "-val_gts": folder / "none"}
    sys.argv = ["eval", *(str(word) for pair in places.items() for word in pair)]
    try:
        os.chdir(folder)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            runpy.run_path(str(script))
    finally:
        os.chdir(before)
        os.system = system
    (table,) = (folder / "out").rglob("*_metrics.csv")
    with table.open(newline="", encoding="utf-8") as file:
        rows = {row["CaseName"]: row for row in csv.DictReader(file)}
    if len(rows) != count:
        raise SystemExit(said.getvalue()[-3000:])
    return {
        str(int(name.removesuffix(".npz"))): {
            "clicks": clicks[name.removesuffix(".npz")],
            **{key: float(row[key] or "nan") for key in FIGURES},
        }
        for name, row in rows.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scripts", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    scripts = options.scripts.resolve()
    sys.path.insert(0, str(scripts))
    published = scripts / "CVPR25_iter_eval.py"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        halving = folder / "halving.py"
        source = published.read_text(encoding="utf-8")
        halving.write_text(source.replace("60000000", str(HALVED_ABOVE)), encoding="utf-8")
        found = {
            "2024": scores_of_2024(scripts, folder, options.count),
            "2025": runs_of_2025(published, folder / "as_it_is", options.count),
            "2025 halved": runs_of_2025(halving, folder / "halved", options.count),
        }
    options.output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
