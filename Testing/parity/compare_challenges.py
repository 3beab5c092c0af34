"""Compare our scores and clicks with those of the challenges' own evaluators, as `make_challenge_golden.py` kept them.

    python Testing/parity/compare_challenges.py FILE.json [PARITY.json]

Printed are the cases, the clicks, the largest difference of a score, and each case that is not the same; PARITY keeps
the numbers for `Testing/bench/challenge_lesions.py`.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from challenge_cases import HALVED_ABOVE, PICTURES, answer, make_case, make_picture
from numpy.typing import NDArray

from MedSAMSegmentLib.challenge.interactive import InteractiveRun, run_interactive
from MedSAMSegmentLib.evaluation.challenge_clicks import PUBLISHED_CLICKS, ClickRules
from MedSAMSegmentLib.evaluation.challenge_scores import RULES_2024, score
from MedSAMSegmentLib.io.interactive_npz import InteractiveCase, read_interactive_npz
from MedSAMSegmentLib.prompts import Point

CLICK_RULES = {"2025": PUBLISHED_CLICKS, "2025 halved": ClickRules(large_voxels=HALVED_ABOVE)}


def scores_of_2024(number: int) -> tuple[float, float]:
    """Return DSC and NSD of the answer to a case, or to a picture."""
    if number % PICTURES == 0:
        picture = make_picture(number)["gts"]
        found = score(picture, answer(picture[np.newaxis], [], 0, number)[0], (1, 1, 1), RULES_2024)
    else:
        case = make_case(number)
        found = score(case["gts"], answer(case["gts"], [], 0, number), case["spacing"], RULES_2024)
    assert found.nsd is not None
    return found.dsc, found.nsd


def run_of_2025(number: int, folder: Path, click_rules: ClickRules) -> InteractiveRun:
    """Return our run of a case that was saved and read again."""
    arrays = make_case(number)
    np.savez(folder / "case.npz", **arrays)
    steps = iter(range(0 if "boxes" in arrays else 1, 6))

    def answered(asked: InteractiveCase) -> NDArray:
        return answer(arrays["gts"], [as_stored(points) for points in asked.clicks], next(steps), number)

    return run_interactive(read_interactive_npz(folder / "case.npz"), answered, click_rules=click_rules)


def as_stored(points: tuple[Point, ...] | list[Point]) -> dict[str, list[list[int]]]:
    """Return the clicks of a class as the evaluator keeps them, z,y,x."""
    return {
        kind: [[int(p.k), int(p.j), int(p.i)] for p in points if p.positive == positive]
        for kind, positive in (("fg", True), ("bg", False))
    }


def differences(golden: dict[str, Any], number: int, folder: Path) -> Iterator[tuple[str, float]]:
    """Yield each figure of a case with the difference from the published one; clicks differ by 0 or 1."""
    published = golden["2024"][str(number)]
    for name, ours, theirs in zip(("DSC", "NSD"), scores_of_2024(number), published, strict=True):
        yield f"2024 {name}", distance(ours, theirs)
    for kind, rules in CLICK_RULES.items():
        expected = golden[kind][str(number)]
        run = run_of_2025(number, folder, rules)
        row = run.row("")
        for name in expected.keys() - {"clicks"}:
            yield f"{kind} {name}", distance(float(str(row[name])), expected[name])
        yield f"{kind} clicks", float([as_stored(points) for points in run.clicks] != expected["clicks"])


def distance(ours: float, theirs: float) -> float:
    """Return the difference; nan agrees with nan only."""
    if math.isnan(ours) or math.isnan(theirs):
        return 0.0 if math.isnan(ours) == math.isnan(theirs) else math.inf
    return abs(ours - theirs)


def main() -> None:
    golden = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        for number in map(int, golden["2024"]):
            for figure, difference in differences(golden, number, Path(name)):
                worst = max(worst, difference)
                if difference > 1e-9:
                    print(f"case {number}: {figure} differs by {difference:g}")
    made = [places for kind in CLICK_RULES for run in golden[kind].values() for places in run["clicks"]]
    clicks = sum(len(places["fg"]) + len(places["bg"]) for places in made)
    found = {"cases": len(golden["2024"]), "clicks": clicks, "largest": worst}
    print("{cases} cases, {clicks} clicks; largest difference {largest:g}".format(**found))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
