"""Judge the default by the judging set: python Testing/bench/accuracy.py FOLDER --out FILE.json [--half HALF] [--all]

FOLDER is what `collect_cases.py` makes. A third of its cases, fixed by their names, is judged, with --all each of them.
LiteMedSAM answers each case in several ways, in the window that a user gets, and all figures go to FILE.json after each
case: the same command continues where it was interrupted. The tables are printed at the end (`accuracy_tables.py`);
`--tables FILE.json` prints them alone, and `--pictures FOLDER` draws the worst untouched cases of the file.

Volumes get the reference's 3D box: `default`, `static` and `handover`. `boxes` is the plain network with the
reference's own box on each slice. `open` gets the reference's outline on its middle slice and no range, `ranged` the
same with the true range. Pictures get the reference's box and one that is 8 % wider and higher: `default` and `bare`,
`wide_default` and `wide_bare`.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_pictures import draw_worst
from accuracy_tables import all_tables
from judging_set import JudgingCase, in_third, is_tuned, read_case
from numpy.typing import NDArray

from MedSAMSegmentLib.auto_window import window_of_prompts
from MedSAMSegmentLib.evaluation.metrics import dice, normalized_surface_dice
from MedSAMSegmentLib.io.atomic import atomic_write
from MedSAMSegmentLib.measurements import roughness
from MedSAMSegmentLib.prompts import Box

if TYPE_CHECKING:
    from MedSAMSegmentLib.inference.session import VolumeSession
    from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
    from MedSAMSegmentLib.results import ObjectResult

REPO = Path(__file__).resolve().parents[2]
CACHE_BYTES = 900 * 10**6
"""The slices of a case stay encoded from one way of answering to the next."""

TOLERANCE_MM = 2.0
WIDER = 0.08
HALVES = {"tuned": (True,), "untouched": (False,), "both": (True, False)}

_predictor: SlicePredictor | None = None
"""The worker process's own."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.tables is not None:
        report(options.tables, options)
        return 0
    if options.folder is None:
        parser().error("Name the folder of the judging set, or give --tables FILE.json.")
    missing = measure_all(options)
    report(options.out, options)
    if missing:
        print(f"\nNot measured: {', '.join(missing)}.", file=sys.stderr)
    return 1 if missing else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    made.add_argument("folder", type=Path, nargs="?", help="the judging set")
    made.add_argument("--half", choices=HALVES, default="both")
    made.add_argument("--all", action="store_true", help="every case, not a third of them")
    made.add_argument("--only", nargs="+", metavar="CASE", help="names of cases")
    made.add_argument("--processes", type=int, default=2, help="cases at a time, each with its share of the cores")
    made.add_argument("--precision", default="float32")
    made.add_argument(
        "--out", type=Path, default=Path("build/accuracy.json"), help="cases that are in it are not asked"
    )
    made.add_argument("--tables", type=Path, metavar="FILE.json", help="print the tables of a file, measure nothing")
    made.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the worst untouched cases")
    return made


def report(path: Path, options: argparse.Namespace) -> None:
    """Print the tables of a file, and draw its worst cases where pictures are asked for."""
    cases = read_results(path)
    print(all_tables(cases))
    if options.pictures is not None:
        if options.folder is None:
            parser().error("Name the folder of the judging set, too: the pictures show its images.")
        for picture in draw_worst(cases, options.folder, options.pictures):
            print(f"\n{picture}", file=sys.stderr)


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the measured cases of a file by name; none when there is no such file."""
    if not path.is_file():
        return {}
    cases: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return cases


def measure_all(options: argparse.Namespace) -> list[str]:
    """Measure the cases that the file lacks, several at a time; return the names of those that failed."""
    results = read_results(options.out)
    paths = [path for path in options.folder.glob("*.npz") if is_tuned(path.stem) in HALVES[options.half]]
    if options.only:
        paths = [path for path in paths if path.stem in options.only]
    elif not options.all:
        paths = [path for path in paths if in_third(path.stem)]
    # The large ones first, so that no process is left alone with one at the end.
    todo = sorted((p for p in paths if p.stem not in results), key=lambda p: -p.stat().st_size)
    if not todo:
        return []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    number = max(1, min(options.processes, len(todo)))
    shares = multiprocessing.get_context("spawn").Queue()
    for share in range(number):
        shares.put(share)
    started, failed, now = time.perf_counter(), [], revision()
    with multiprocessing.get_context("spawn").Pool(
        number, initializer=start_worker, initargs=(shares, number, options.precision)
    ) as pool:
        for count, (name, found) in enumerate(pool.imap_unordered(measure_file, todo), start=1):
            if "error" in found:
                failed.append(name)
                said = found["error"]
            else:
                results[name] = found | {"revision": now}
                write_results(options.out, results)
                first, *others = (f"{way} {run['dice']:.3f}" for way, run in found["runs"].items())
                said = f"{first} ({', '.join(others)}), {found['seconds']:.0f} s, CPU {found['cpu_seconds']:.0f} s"
            minutes = (time.perf_counter() - started) / 60
            print(f"{minutes:5.1f} min, {count} of {len(todo)}: {name}: {said}", file=sys.stderr, flush=True)
    return failed


def write_results(path: Path, cases: dict[str, dict[str, Any]]) -> None:
    with atomic_write(path) as partial:
        text = json.dumps({"cases": dict(sorted(cases.items()))}, indent=1)
        Path(partial).write_text(text, encoding="utf-8")


def revision() -> str:
    """Return the commit that is measured, "-dirty" after it where files were changed since; "" without git."""
    command = ["git", "-C", str(REPO), "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip()


def start_worker(shares: multiprocessing.Queue[int], number: int, precision: str) -> None:
    """Load the model with this process's share of the cores."""
    end_with_parent()
    share = shares.get()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own = cores[share::number]
    if own:
        # Both libraries count the cores that they may use when they start. Later none is bound to one of them.
        os.sched_setaffinity(0, own)
        os.environ["OMP_NUM_THREADS"] = str(len(own))
    from MedSAMSegmentLib.inference.open import load_predictor
    from MedSAMSegmentLib.threads import set_passive_wait_policy

    set_passive_wait_policy(os.environ)
    global _predictor  # noqa: PLW0603
    _predictor = load_predictor("lite_medsam", device="cpu", precision=precision)
    _predictor.encode(np.zeros((64, 64), np.uint8))
    if own:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), cores)


def end_with_parent() -> None:
    """End this process when its parent has, however that ended: a pool's workers outlive one that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def measure_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the case's name and figures; where it fails, the error in words and nothing else."""
    assert _predictor is not None
    try:
        return path.stem, measure(read_case(path), _predictor)
    except Exception as error:  # noqa: BLE001 - the other cases go on
        return path.stem, {"error": f"{type(error).__name__}: {error}"}


def measure(case: JudgingCase, predictor: SlicePredictor) -> dict[str, Any]:
    """Return all figures of one case as JSON takes them."""
    from MedSAMSegmentLib.inference.open import open_session

    started, computed = time.perf_counter(), time.process_time()
    box, modality = Box.around(case.reference), case.modality or None
    window = window_of_prompts(case.image, modality, [box])
    with open_session(
        predictor, case.image, geometry=case.geometry, window=window, modality=modality, cache_bytes=CACHE_BYTES
    ) as session:
        found: dict[str, Any] = {
            "kind": case.kind,
            "tuned": case.is_tuned,
            "flat": case.is_flat,
            "shape": list(case.reference.shape),
            "window": window,
            "shown": session.volume.description,
            "model": session.device,
        }
        found |= measure_picture(session, case, box) if case.is_flat else measure_volume(session, case, box)
        found |= vars(session.counters)
    found["seconds"] = time.perf_counter() - started
    found["cpu_seconds"] = time.process_time() - computed
    return found


def measure_picture(session: VolumeSession, case: JudgingCase, box: Box) -> dict[str, Any]:
    wide = wider_box(box, case.reference.shape)
    ours = run(session, box)
    runs = {
        "default": judged(ours.mask, case) | {"slices": ranked(ours, case)},
        "bare": judged(run(session, box, "static").mask, case),
        "wide_default": judged(run(session, wide).mask, case),
        "wide_bare": judged(run(session, wide, "static").mask, case),
    }
    return {"middle": packed_slice(ours.mask, 0), "runs": runs}


def measure_volume(session: VolumeSession, case: JudgingCase, box: Box) -> dict[str, Any]:
    drawn = middle_outline(case.reference)
    ours = run(session, box)
    runs: dict[str, Any] = {
        "default": judged(ours.mask, case) | {"slices": ranked(ours, case)},
        "static": judged(run(session, box, "static").mask, case),
        "handover": judged(run(session, box, "handover").mask, case),
        "boxes": judged(reference_boxes(session, case.reference), case),
    }
    ways: dict[str, tuple[int, int] | None] = {"ranged": box.k, "open": None}
    for name, extent in ways.items():
        mask = run(session, drawn, extent=extent).mask
        missed, too_many = ends(mask, box.k)
        runs[name] = {"dice": dice(mask, case.reference), "missed": missed, "too_many": too_many}
    # What a user who draws on one slice would get; all is measured in the window of the 3D box.
    open_window = window_of_prompts(case.image, case.modality or None, [drawn])
    return {"middle": packed_slice(ours.mask, drawn.k[0]), "open_window": open_window, "runs": runs}


def run(
    session: VolumeSession, box: Box, strategy: str | None = None, extent: tuple[int, int] | None = None
) -> ObjectResult:
    return session.propagate([box], strategy=strategy, slice_range=extent).objects[0]


def judged(mask: NDArray[np.bool_], case: JudgingCase) -> dict[str, Any]:
    return {
        "dice": dice(mask, case.reference),
        "nsd": normalized_surface_dice(mask, case.reference, case.geometry.spacing_zyx, TOLERANCE_MM),
        "roughness": roughness(mask),
    }


def ranked(result: ObjectResult, case: JudgingCase) -> list[tuple[float, float]]:
    """Return each slice's confidence and its true Dice."""
    mask = result.mask
    return [(float(result.slices[k].score), dice(mask[k], case.reference[k])) for k in sorted(result.slices)]


def reference_boxes(session: VolumeSession, reference: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the plain network's answers (z,y,x) to the reference's own box on each slice."""
    result = np.zeros_like(reference)
    for k, box in slice_boxes(reference):
        result[k] = run(session, box, "static").mask[k]
    return result


def slice_boxes(reference: NDArray[np.bool_]) -> Iterator[tuple[int, Box]]:
    """Yield the slices where the reference can be boxed: a row or column of single voxels cannot."""
    for k in np.flatnonzero(reference.any(axis=(1, 2))):
        flat = Box.around(reference[k][None])
        if flat.i[0] < flat.i[1] and flat.j[0] < flat.j[1]:
            yield int(k), Box(i=flat.i, j=flat.j, k=(int(k), int(k)))


def middle_outline(reference: NDArray[np.bool_]) -> Box:
    """Return the reference's box on the slice nearest to its middle that can be boxed."""
    first, last = Box.around(reference).k
    middle = (first + last) // 2
    return min(slice_boxes(reference), key=lambda item: abs(item[0] - middle))[1]


def wider_box(box: Box, shape_zyx: tuple[int, ...]) -> Box:
    """Return the box with 8 % more width and height, half of it on each side, within the picture."""

    def widened(extent: tuple[int, int], size: int) -> tuple[int, int]:
        more = max(1, round(WIDER * (extent[1] - extent[0] + 1) / 2))
        return max(0, extent[0] - more), min(size - 1, extent[1] + more)

    return Box(i=widened(box.i, shape_zyx[2]), j=widened(box.j, shape_zyx[1]), k=box.k)


def ends(mask: NDArray[np.bool_], extent: tuple[int, int]) -> tuple[int, int]:
    """Return how many slices, at both ends together, the mask (z,y,x) stays short of the extent, and passes it."""
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    if not filled.size:
        return extent[1] - extent[0] + 1, 0
    first, last = int(filled[0]), int(filled[-1])
    short = max(0, first - extent[0]) + max(0, extent[1] - last)
    return short, max(0, extent[0] - first) + max(0, last - extent[1])


def packed_slice(mask: NDArray[np.bool_], index: int) -> dict[str, Any]:
    """Return one slice's mask as text, for the pictures (`accuracy_pictures.unpacked`)."""
    bits = zlib.compress(np.packbits(mask[index]).tobytes())
    return {"index": index, "bits": base64.b64encode(bits).decode("ascii")}


if __name__ == "__main__":
    sys.exit(main())
