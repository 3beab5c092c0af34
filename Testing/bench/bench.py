"""Measure every engine beside plain eager float32; write Resources/docs/benchmarks.md, its figures and a plot.

python Testing/bench/bench.py [--quick] [--models ID ...] [--cases none|one|all] [--compare REVISION]

bfloat16 is left out on processors that emulate it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from compare import compare
from report import case_table, cpu_flags, machine, page, path_table, speed_table, write_plot

from MedSAMSegmentLib.threads import set_passive_wait_policy

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
DOCS = REPO / "Resources" / "docs"
MODELS = ("lite_medsam", "medsam2", "efficient_medsam2_tiny", "medsam")
FAST_BFLOAT16 = bool({"avx512_bf16", "amx_bf16", "bf16"} & cpu_flags())
KINDS = tuple(
    (engine, precision)
    for engine, precision in (
        ("plain", "float32"),
        ("torch", "float32"),
        ("torch", "bfloat16"),
        ("openvino", "float32"),
        ("openvino", "bfloat16"),
    )
    if precision == "float32" or FAST_BFLOAT16
)
CASES_MODEL = "lite_medsam"
SLOW_MODELS = {"medsam": tuple(kind for kind in KINDS if kind[0] == "openvino")}
"""Models of which a slice takes seconds: only the engines that "auto" chooses from, each beside plain eager."""
QUICK_MODELS = ("lite_medsam",)
WHOLE_CASE = "left lung"
MANY_OBJECTS = tuple(
    (model, "openvino", precision)
    for model in ("lite_medsam", "medsam2", "efficient_medsam2_tiny")
    for precision in ("float32", "bfloat16")
    if precision == "float32" or FAST_BFLOAT16
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.compare:
        print(compare(options.compare))
        return
    speed = measure_speed(options.models or (QUICK_MODELS if options.quick else MODELS))
    cases = measure_cases("none" if options.quick else options.cases)
    path = [] if options.quick or options.models else measure_path()
    print("\n" + speed_table(speed))
    if cases:
        print("\n" + case_table(cases))
    if path:
        print("\n" + path_table(path))
    if not options.quick and not options.models:
        found = {"machine": machine(), "speed": speed, "cases": cases, "steps": path, "notes": notes()}
        (DOCS / "figures" / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (DOCS / "benchmarks.md").write_text(page(found), encoding="utf-8")
        write_plot(DOCS / "benchmarks.png", speed)
        print(f"\nwrote {(DOCS / 'benchmarks.md').relative_to(REPO)} and its plot")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--quick", action="store_true", help="LiteMedSAM's speed alone; nothing is written")
    found.add_argument("--models", nargs="+", metavar="ID", help="these models; nothing is written")
    found.add_argument("--cases", choices=("none", "one", "all"), default="all", help="public cases to segment")
    found.add_argument("--compare", metavar="REVISION", help="only compare with another git revision")
    return found


def measure_speed(models: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for model in models:
        for engine, precision in kinds_of(model):
            print(f"{model} {engine} {precision} ...", file=sys.stderr, flush=True)
            rows.extend(run("measure.py", model, engine, precision))
    return rows


def kinds_of(model: str) -> tuple[tuple[str, str], ...]:
    return SLOW_MODELS.get(model, KINDS)


def measure_cases(wanted: str) -> list[dict[str, Any]]:
    """One case with every engine, the others with those that "auto" chooses from."""
    if wanted == "none":
        return []
    rows = []
    kinds = kinds_of(CASES_MODEL)
    for engine, precision in kinds:
        print(f"cases {engine} {precision} ...", file=sys.stderr, flush=True)
        names = () if wanted == "all" and engine == "openvino" else (WHOLE_CASE,)
        rows.extend(run("measure_cases.py", engine, precision, *names))
    return sorted(rows, key=lambda row: kinds.index((row["engine"], row["precision"])))


def measure_path() -> list[dict[str, Any]]:
    """What surrounds the encoder: start, previews, later objects, memory of a long range."""
    print("start, previews, objects, memory ...", file=sys.stderr, flush=True)
    rows = run("measure_path.py", "start")
    for kind in MANY_OBJECTS:
        rows += run("measure_path.py", "objects", *kind)
    return [*rows, *run("memory.py", "lite_medsam", "--engine", "auto", "--json")]


def run(script: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON lines of a script. Nothing when it fails, as openvino does where it is not installed."""
    command = [sys.executable, "-W", "ignore", str(HERE / script), *arguments]
    environment = dict(os.environ)
    if "plain" not in arguments:
        set_passive_wait_policy(environment)  # as the command line and the worker do
    done = subprocess.run(command, cwd=REPO, env=environment, encoding="utf-8", stdout=subprocess.PIPE, check=False)
    if done.returncode:
        print(f"{' '.join(arguments)}: no figures", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def notes() -> list[str]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    missing = [] if FAST_BFLOAT16 else ["bfloat16: not measured, this processor has no instructions for it."]
    return [
        *missing,
        "Models whose weights are not on the machine are measured with made-up ones; times do not depend on them.",
        "GPU: not measured here." if gpu else "GPU: none was available; figures for one are missing.",
        "auto takes bfloat16 unasked with LiteMedSAM alone, on processors that compute in it and where it is faster: "
        "on the judging set its masks are as good in the mean ([accuracy](accuracy.md#in-bfloat16)), though the brain "
        "tumour above is not. The weights of the other models were not to be had, so what bfloat16 does to their masks "
        "is open.",
    ]


if __name__ == "__main__":
    main()
