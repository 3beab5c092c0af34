"""Write what README.md and the pages beside this file repeat of the code or of a run, between their marker lines.

    python Resources/docs/make_tables.py                                  after a change of models or keys
    python Resources/docs/make_tables.py accuracy=build/accuracy.json     after a run: its figures are kept, too
    python Resources/docs/make_tables.py demo=demo/report.json clicks=FILE parity=FILE service=FILE cohort=FILE

What a run found is kept in `figures/`, whatever wrote it: `medsam-segment demo`, `Testing/bench/accuracy.py`,
`Testing/bench/clicks.py --json` (of a judging set as `judged_clicks=FILE`), `Testing/bench/cohort_cases.py --json`,
`Testing/cohort/kills.py --json` (as `cohort_kills=FILE`), `Testing/bench/fine_tuning.py --figures` (as
`fine_tuning=FILE`), `Testing/bench/lungs.py --json`, `Testing/bench/service_load.py --json` and
`Testing/parity/parity_table.py --json`. (`Testing/bench/bench.py` writes its own page and figures.) No figure is
written by hand: a test makes all of them again and compares.
"""

from __future__ import annotations

import ast
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
README = REPO / "README.md"
DOCS = REPO / "Resources" / "docs"
FIGURES = DOCS / "figures"
sys.path[:0] = [str(REPO), str(REPO / "Testing" / "bench")]

FIRST_MODELS = (
    "lite_medsam",
    "medsam",
    "medsam2",
    "medsam2_us_heart",
    "medsam2_ct_lesion",
    "efficient_medsam2_tiny",
)
"""What README.md names; the others are in models.md."""

DIGITS = 6
"""Figures are kept with so many, which is more than any page shows."""


def figures(kind: str) -> Any:
    """Return what the last run of a kind found."""
    return json.loads((FIGURES / f"{kind}.json").read_text(encoding="utf-8"))


# Facts of the code


def first_models_table() -> str:
    from MedSAMSegmentLib.registry import get

    rows = ((f"`{e.id}`", e.good_for, f"{e.expected_bytes / 1e6:.0f}", e.licence) for e in map(get, FIRST_MODELS))
    return table(("model", "good for", "MB", "licence of the weights"), rows)


def models_table() -> str:
    from MedSAMSegmentLib.registry import entries

    rows = (
        (
            f"`{e.id}`",
            e.title,
            e.good_for,
            f"{e.expected_bytes / 1e6:.0f}",
            e.licence,
            f"{e.minimum_memory_mb / 1000:g}",
        )
        for e in entries()
    )
    return table(("id", "model", "good for", "MB", "licence of the weights", "GB of memory, about"), rows)


def keys_table() -> str:
    return table(("key", "what it does"), ((f"`{sequence}`", title) for sequence, title in effect_keys()))


def effect_keys() -> list[tuple[str, str]]:
    """Return sequence and title of each of the effect's keys. Read from the source: the file needs Slicer's Qt."""
    source = (REPO / "MedSAMSegmentLib" / "ui" / "effect" / "shortcuts.py").read_text(encoding="utf-8")
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Key"
    ]
    found = [[ast.literal_eval(argument) for argument in call.args] for call in calls]
    return [(sequence, title) for sequence, _action, title in found]


# Figures of runs


def demo_table() -> str:
    """Return the organs of the demo, and below them what computed them."""
    facts = figures("demo")
    rows = (
        (
            row["organ"],
            row["window"],
            f"{row['dice']:.3f}",
            f"{row['millilitres']:.0f}",
            f"{row['reference_millilitres']:.0f}",
        )
        for row in facts["table"]
    )
    found = table(("organ", "window", "Dice", "volume mL", "reference mL"), rows)
    version = facts["versions"]["MedSAMSegmentLib"]
    return f"{found}\nStrategy `{facts['strategy']}`, {facts['device']}, version {version}.\n"


def speed_table() -> str:
    """Return the seconds a slice of the engines that "auto" chooses from, and of the plain networks."""
    rows = []
    for row in figures("benchmarks")["speed"]:
        tracked = f"{row['slice']:.2f}" if "slice" in row else ""
        rows.append((f"`{row['model']}`", row["engine"], row["precision"], f"{row['encode']:.2f}", tracked))
    return table(("model", "engine", "precision", "encode, s", "one more slice, with a full memory, s"), rows)


def accuracy_lines() -> str:
    """Return two lines: the cases that had a say in the rules, and those that had none."""
    return (
        f"- **Tuned** (had a say in the rules): {'; '.join(_tuned())}.\n"
        f"- **Untouched** (had none): {'; '.join(_of_the_judging_set(tuned=False))}.\n"
    )


def _tuned() -> list[str]:
    known = [row["scores"][0] for row in figures("clicks")["rows"]]
    line = f"{_dice(known)} from one 3D box on the {len(known)} known cases"
    return [line, *_of_the_judging_set(tuned=True)]


def _of_the_judging_set(tuned: bool) -> list[str]:
    """Return what there is in words: means of the default, and of what it is compared with."""
    cases = [case for case in figures("accuracy")["cases"].values() if case["tuned"] is tuned]
    volumes = [case["runs"] for case in cases if not case["flat"]]
    pictures = [case["runs"] for case in cases if case["flat"]]
    lines = []
    if volumes:
        ours, official, boxes = (_dice(r[way]["dice"] for r in volumes) for way in ("default", "handover", "boxes"))
        lines.append(
            f"{ours} from one 3D box on {len(volumes)} volumes (the official algorithm {official}; the plain network "
            f"with the true box on every slice {boxes})"
        )
    if pictures:
        ours, bare = (_dice(runs[way]["dice"] for runs in pictures) for way in ("default", "bare"))
        lines.append(f"{ours} from one box on {len(pictures)} pictures (the plain network {bare})")
    return lines


def _dice(values: Iterable[float]) -> str:
    return f"{statistics.fmean(values):.3f}"


def accuracy_tables() -> str:
    from accuracy_tables import all_tables

    return all_tables(figures("accuracy")["cases"]) + "\n"


def bfloat16_line() -> str:
    """Return what becomes of the tuned cases' Dice when the network computes in bfloat16."""
    exact, found = figures("accuracy")["cases"], figures("accuracy_bfloat16")["cases"]
    assert all(case["tuned"] for case in found.values()), "bfloat16 was chosen by the tuned cases"
    parts = []
    for words, way, flat in (
        ("volumes from one 3D box", "default", False),
        ("volumes from one box on one slice", "open", False),
        ("pictures", "default", True),
    ):
        names = [name for name, case in found.items() if case["flat"] is flat]
        before, after = ([cases[name]["runs"][way]["dice"] for name in names] for cases in (exact, found))
        (loss, loser), *_, (gain, winner) = sorted((b - a, n) for a, b, n in zip(before, after, names, strict=True))
        parts.append(
            f"{len(names)} {words} {_dice(before)} in float32, {_dice(after)} in bfloat16 (from {loss:+.3f}, {loser}, "
            f"to {gain:+.3f}, {winner})"
        )
    return f"Tuned: {'; '.join(parts)}.\n"


def judged_clicks_table() -> str:
    """Return what five clicks make of the judging set's volumes, the halves apart."""
    rows = []
    for half in ("tuned", "untouched"):
        found = [row for row in figures("judged_clicks")["rows"] if row["half"] == half]
        for row in sorted(found, key=lambda row: row["name"]):
            rows.append(_clicks_line(row["name"], half, [row]))
        rows.append(_clicks_line(f"**mean of {len(found)}**", half, found))
    head = ("case", "half", "one 3D box", "after 5 clicks", "rise", "steps that lose over 0.005", "worst step",
            "clicks right", "perfect on their slices")  # fmt: skip
    return table(head, rows)


def _clicks_line(name: str, half: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    from clicks import ALLOWED_LOSS

    before, after = (statistics.fmean(row["scores"][n] for row in rows) for n in (0, -1))
    steps = [second - first for row in rows for first, second in zip(row["scores"], row["scores"][1:], strict=False)]
    right, asked = (sum(row[count] for row in rows) for count in ("right", "asked"))
    perfect = statistics.fmean(row["perfect"] for row in rows)
    lost = f"{sum(step < -ALLOWED_LOSS for step in steps)} of {len(steps)}"
    return (
        name, half, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}", lost, f"{min(steps):+.3f}",
        f"{right} of {asked}", f"{perfect:.3f}",
    )  # fmt: skip


def clicks_table() -> str:
    """Return Dice from one 3D box on the known cases, and what five clicks make of it."""
    body, rows = [], figures("clicks")["rows"]
    for row in rows:
        scores = row["scores"]
        body.append((row["name"], scores[0], scores[-1], row["worst_step"], row["right"], row["asked"]))
    means = [statistics.fmean(column) for column in zip(*(line[1:3] for line in body), strict=True)]
    sums = [sum(column) for column in zip(*(line[4:] for line in body), strict=True)]
    body.append(("**mean**", *means, min(line[3] for line in body), *sums))
    return table(
        ("case", "one 3D box", "after 5 clicks", "worst step", "clicks right"),
        ((name, f"{a:.3f}", f"{b:.3f}", f"{w:+.3f}", f"{right} of {asked}") for name, a, b, w, right, asked in body),
    )


def challenge_parity() -> str:
    found = figures("challenges")["parity"]
    return (
        f"{found['cases']} cases: all {found['clicks']} clicks are the same, and no score differs by more than "
        f"{found['largest']:.1e}.\n"
    )


def challenge_table() -> str:
    """Return the scores and the seconds of a processor on the lesions: the baseline, ours, and our interactive run."""
    body, rows = [], figures("challenges")["rows"]
    for row in rows:
        base, ours, run = row["baseline"], row["ours"], row["interactive"]
        scores = (base["dsc"], ours["dsc"], base["nsd"], ours["nsd"], run["DSC_1"], run["DSC_Final"])
        areas = (run["DSC_AUC"], run["NSD_AUC"])
        seconds = [row["seconds"][name]["cpu"] for name in ("baseline", "ours", "interactive")]
        body.append((row["case"], *scores, *areas, *seconds))
    means = [statistics.fmean(column) for column in zip(*(line[1:] for line in body), strict=True)]
    heads = ("lesion", "DSC 2024, baseline", "ours", "NSD, baseline", "ours", "2025: DSC, box", "5 clicks", "DSC AUC")
    found = table(
        (*heads, "NSD AUC", "s, baseline", "s, ours", "s, six steps"),
        (
            (name, *(f"{value:.3f}" for value in values[:8]), *(f"{value:.0f}" for value in values[8:]))
            for name, *values in (*body, ("**mean**", *means))
        ),
    )
    anew = (f"{row['case']}: {row['seconds']['anew']['cpu']:.0f} s" for row in rows if "anew" in row["seconds"])
    return f"{found}\nSix steps with nothing kept from one to the next: {', '.join(anew)}.\n"


def sam_table() -> str:
    return table(
        (
            *("case", "weights", "embedding, largest", "box logits, largest", "box logits, mean", "IoU, largest"),
            "differing mask pixels",
        ),
        (
            (row["case"], row["weights"], *_small(row["numbers"]), str(row["pixels"]))
            for row in figures("parity")["sam"]
        ),
    )


def sam2_table() -> str:
    return table(
        (
            *("model", "case", "logits max", "logits mean", "pointer max", "IoU, score max", "memory mean"),
            *("mask pixels", "within limits"),
        ),
        (
            (
                *(row["model"], row["case"], *_small(row["numbers"]), str(row["pixels"])),
                "; ".join(row["problems"]) or "yes",
            )
            for row in figures("parity")["sam2"]
        ),
    )


def noise_line() -> str:
    noise = figures("parity")["noise"]
    return (
        "The official code against itself (other thread counts, other vector instructions) differs by up to "
        f"{noise['logits']:.1e} in the\nlogits of a slice, and by up to {noise['pixels']} mask pixels in a pass of a "
        "model with a memory.\n"
    )


def load_table() -> str:
    """Return what the service's processes held while sessions came and went, and below it how many there were."""
    found = figures("service")
    head = ("sessions done", "server, MB", "worker, MB", "files of the server", "files of the worker", "threads")
    names = ("sessions", "server_mb", "worker_mb", "server_files", "worker_files", "threads")
    rows = (tuple(f"{row[name]:.0f}" for name in names) for row in found["rows"])
    return (
        f"{table(head, rows)}\nModel: {found['model']}. {found['clients']} clients, {found['sessions']} sessions, "
        f"{found['failed']} failed;\n{found['turned_away']} requests were told to come again. Files left behind: "
        f"{found['left_files']}.\n"
    )


def _small(numbers: Sequence[float]) -> list[str]:
    return [f"{number:.1e}" for number in numbers]


def cohort_speed() -> str:
    """Return the cases an hour of each way to run them."""
    found = figures("cohort")
    rows = [
        (
            row["way"],
            f"{row['cases'] / row['seconds'] * 3600:.0f}",
            f"{row['seconds'] / row['cases']:.1f}",
            f"{row['cpu_seconds'] / row['cases']:.1f}",
        )
        for row in found["throughput"]
    ]
    head = ("way", "cases an hour", "seconds a case", "of the processor")
    counts = ", ".join(str(row["cases"]) for row in found["throughput"])
    said = f"Measured on {counts} cases, one row after the other, at a load of about {found['load']:.0f} on two cores"
    return table(head, rows) + f"\n{said}: compare the\nprocessor's seconds; the clock's are those of a busy machine.\n"


def cohort_size() -> str:
    """Return the seconds of each step of a cohort, by its number of cases."""
    found = figures("cohort")["simulation"]
    steps = [name for name in found[0] if name != "cases"]
    return table(("cases", *steps), ((f"{row['cases']:,}", *(f"{row[step]:.1f}" for step in steps)) for row in found))


def cohort_kills() -> str:
    """Return how often what was killed, and what came of it."""
    found = figures("cohort_kills")
    kills = " and ".join(f"{count} times {what}" for what, count in sorted(found["kills"].items()))
    harm = "; ".join(found["harm"]) or "the same bytes as an undisturbed run each time, and nothing left behind"
    return f"{kills}, in {found['cohorts']} cohorts and {found['runs']} calls: {harm}.\n"


def lungs_table() -> str:
    """Return the Dice of the drawn slice of each lung, in each third and plane."""
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in figures("lungs")["rows"]:
        rows.setdefault((row["lung"], row["plane"]), []).append(row)
    body = [(*name, *(f"{row['dice']:.3f} ({row['window']})" for row in thirds)) for name, thirds in rows.items()]
    return table(("lung", "plane", "first third", "middle third", "last third"), body)


LEAST_GAIN, MOST_HARM = 0.03, 0.02
"""The gate of fine-tuning: the other patient's Dice, and that of any guard."""


def fine_tuning_table() -> str:
    """Return the Dice of another patient before and after each training, and the guard that lost most."""
    groups: dict[tuple[str, float, int], list[Mapping[str, Any]]] = {}
    for run in figures("fine_tuning")["runs"]:
        if run["experiment"] != "overfit":
            settings = run["settings"]
            # Before the weight was a setting it was one.
            weight = settings.get("rehearsal_weight", 1.0) if settings.get("rehearsal", 0) else 0.0
            groups.setdefault((run["experiment"], weight, settings["steps"]), []).append(run)
    rows = []
    for (name, weight, steps), runs in sorted(groups.items()):
        gains = [run["after"]["tested"] - run["before"]["tested"] for run in runs]
        guard, harm = min(map(_worst_guard, runs), key=lambda pair: pair[1])
        met = min(gains) >= LEAST_GAIN and harm >= -MOST_HARM
        rows.append(
            (
                name,
                f"{weight:g}",
                str(steps),
                ", ".join(str(run["seed"]) for run in runs),
                f"{runs[0]['before']['tested']:.3f}",
                ", ".join(f"{run['after']['tested']:.3f}" for run in runs),
                f"{statistics.mean(gains):+.3f}",
                f"{harm:+.3f} ({guard})",
                "yes" if met else "no",
                f"{max(run['training_seconds'] for run in runs) / 60:.1f}",
                f"{max(run['peak_memory_mb'] for run in runs) / 1000:.1f}",
            )
        )
    head = (
        "trained on", "rehearsal", "steps", "seeds", "before", "after", "gain", "worst guard", "gate", "minutes", "GB",
    )  # fmt: skip
    return table(head, rows)


def overfit_line() -> str:
    """Return what becomes of a single slice that is learnt by heart."""
    run = next(run for run in figures("fine_tuning")["runs"] if run["experiment"] == "overfit")
    steps = run["settings"]["steps"]
    return f"One slice learnt by heart in {steps} steps: {run['before']:.3f} before, {run['after']:.3f} after.\n"


def _worst_guard(run: Mapping[str, Any]) -> tuple[str, float]:
    changes = {name: run["after"][name] - run["before"][name] for name in run["before"] if name != "tested"}
    name = min(changes, key=lambda guard: changes[guard])
    return name, changes[name]


BLOCKS: Mapping[tuple[Path, str], Callable[[], str]] = {
    (README, "models table"): first_models_table,
    (README, "accuracy lines"): accuracy_lines,
    (DOCS / "models.md", "models table"): models_table,
    (DOCS / "models.md", "speed table"): speed_table,
    (DOCS / "user_guide.md", "keys table"): keys_table,
    (DOCS / "command_line.md", "demo table"): demo_table,
    (DOCS / "cohorts.md", "cohort speed"): cohort_speed,
    (DOCS / "cohorts.md", "cohort size"): cohort_size,
    (DOCS / "cohorts.md", "cohort kills"): cohort_kills,
    (DOCS / "fine_tuning.md", "gate table"): fine_tuning_table,
    (DOCS / "fine_tuning.md", "overfit line"): overfit_line,
    (DOCS / "accuracy.md", "accuracy lines"): accuracy_lines,
    (DOCS / "accuracy.md", "bfloat16 line"): bfloat16_line,
    (DOCS / "accuracy.md", "clicks table"): clicks_table,
    (DOCS / "accuracy.md", "judged clicks table"): judged_clicks_table,
    (DOCS / "accuracy.md", "lungs table"): lungs_table,
    (DOCS / "accuracy.md", "accuracy tables"): accuracy_tables,
    (DOCS / "challenges.md", "challenge parity"): challenge_parity,
    (DOCS / "challenges.md", "challenge table"): challenge_table,
    (DOCS / "service.md", "load table"): load_table,
    (DOCS / "parity.md", "noise line"): noise_line,
    (DOCS / "parity.md", "sam table"): sam_table,
    (DOCS / "parity.md", "sam2 table"): sam2_table,
}
"""What stands between which marker lines of which page."""

KEPT: Mapping[str, Callable[[Any], Any]] = {
    "accuracy_bfloat16": lambda found: {"cases": {n: _dice_alone(case) for n, case in sorted(found["cases"].items())}},
    "accuracy": lambda found: {"cases": {n: without(case, "middle") for n, case in sorted(found["cases"].items())}},
    "challenges": lambda found: found,
    "clicks": lambda found: found,
    "cohort": lambda found: found,
    "cohort_kills": lambda found: found,
    "demo": lambda found: {key: found[key] for key in ("input", "model", "versions", "device", "strategy", "table")},
    "fine_tuning": lambda found: found,
    "judged_clicks": lambda found: found,
    "lungs": lambda found: found,
    "parity": lambda found: found,
    "service": lambda found: found,
}
"""What is kept of a run's file, by kind."""


def keep(kind: str, path: Path) -> None:
    """Keep a run's figures. One line for each case or row, so that a difference can be read."""
    found = KEPT[kind](rounded(json.loads(path.read_text(encoding="utf-8"))))
    parts = [f"{json.dumps(name)}: {_lines(value)}" for name, value in found.items()]
    (FIGURES / f"{kind}.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _lines(value: Any) -> str:
    if isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values()):
        return "{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(inner)}" for name, inner in value.items()) + "\n}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(f" {json.dumps(inner)}" for inner in value) + "\n]"
    return json.dumps(value)


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return {key: rounded(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _dice_alone(case: Mapping[str, Any]) -> dict[str, Any]:
    runs = {way: {"dice": run["dice"]} for way, run in case["runs"].items()}
    return {"tuned": case["tuned"], "flat": case["flat"], "model": case["model"], "runs": runs}


def without(case: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in case.items() if key != name}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def section(text: str, name: str) -> tuple[int, int]:
    """Return where the lines called `name` begin and end, between their two marker lines."""
    opening = f"<!-- {name} -->\n"
    start = text.index(opening) + len(opening)
    return start, text.index(f"<!-- end of {name} -->", start)


def main(arguments: Sequence[str]) -> None:
    for argument in arguments:
        kind, _, path = argument.partition("=")
        if kind not in KEPT or not path:
            sys.exit(f"{argument}: give KIND=FILE, where KIND is one of {', '.join(KEPT)}.")
        keep(kind, Path(path))
    for (page, name), made in BLOCKS.items():
        text = page.read_text(encoding="utf-8")
        start, end = section(text, name)
        page.write_text(text[:start] + made() + text[end:], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
