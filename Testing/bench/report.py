"""The measurements as a page of the docs and as a plot."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from MedSAMSegmentLib.inference.engines.benchmarks import processor_name

Row = Mapping[str, Any]
ENGINE_TITLES = {"plain": "plain eager", "torch": "torch", "openvino": "openvino"}

KEPT_HEADING = "## Whole processes"


def machine() -> str:
    """What the measurements were made on, without names that belong to one computer."""
    flags = cpu_flags()
    extras = [title for flag, title in (("avx512_bf16", "AVX-512 BF16"), ("amx_bf16", "AMX")) if flag in flags]
    libraries = ", ".join(f"{name} {installed(name)}" for name in ("torch", "openvino", "numpy"))
    return (
        f"{processor_name()}{' (' + ', '.join(extras) + ')' if extras else ''}, {os.cpu_count()} cores, "
        f"{memory_gigabytes():.0f} GB; {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {libraries}; {torch.get_num_threads()} threads."
    )


def cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    return {word for line in text.splitlines() if line.startswith("flags") for word in line.split()}


def memory_gigabytes() -> float:
    import psutil

    return psutil.virtual_memory().total / 1e9


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def speed_table(rows: Sequence[Row]) -> str:
    head = [
        "model",
        "engine",
        "precision",
        "encode s",
        "x plain",
        "slice s",
        "x plain",
        "decode ms",
        "open s",
        "peak MB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * 7]
    for row in rows:
        tracked = "slice" in row
        cells = [
            row["model"],
            ENGINE_TITLES[row["engine"]],
            row["precision"],
            f"{row['encode']:.3f}",
            f"{row['encode_ratio']:.2f}",
            f"{row['slice']:.3f}" if tracked else "",
            f"{row['slice_ratio']:.2f}" if tracked else "",
            f"{1000 * row['decode']:.0f}",
            f"{row['open']:.1f} ({row['prepare']:.1f})" if row["engine"] == "openvino" else "",
            f"{row['peak_mb']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def case_table(rows: Sequence[Row]) -> str:
    engines = list(dict.fromkeys((row["engine"], row["precision"]) for row in rows))
    cases = list(dict.fromkeys(row["case"] for row in rows))
    found = {(row["case"], row["engine"], row["precision"]): row for row in rows}
    titles = [f"{ENGINE_TITLES[engine]} {precision}" for engine, precision in engines]
    lines = ["| case | slices | " + " | ".join(titles) + " |", "|---|---:|" + "---:|" * len(engines)]
    for case in cases:
        here = {engine: found.get((case, *engine)) for engine in engines}
        slices = next(row["slices"] for row in here.values() if row)
        cells = [f"{row['dice']:.3f}, {row['seconds']:.1f} s" if row else "" for row in here.values()]
        lines.append(f"| {case} | {slices} | " + " | ".join(cells) + " |")
    complete = [engine for engine in engines if all((case, *engine) in found for case in cases)]
    means = [
        f"{sum(found[(case, *engine)]['dice'] for case in cases) / len(cases):.4f}" if engine in complete else ""
        for engine in engines
    ]
    lines.append("| **mean Dice** | | " + " | ".join(means) + " |")
    return "\n".join(lines)


def path_table(rows: Sequence[Row]) -> str:
    lines = ["| step | measured | target |", "|---|---:|---:|"]
    for row in rows:
        digits = 2 if row["unit"] == "s" else 0
        lines.append(f"| {row['what']} | {row['value']:.{digits}f} {row['unit']} | {row['target']} |")
    return "\n".join(lines)


def write_page(
    path: Path, speed: Sequence[Row], cases: Sequence[Row], steps: Sequence[Row], notes: Sequence[str]
) -> None:
    """The page, overwritten but for the section that needs another program than ours."""
    kept = kept_section(path)
    parts = [
        "# Benchmarks",
        "`make bench` measures and writes this page. " + machine(),
        "Seconds are the best of turns that the engine takes with plain eager float32 of the same network, which waits "
        "in a process of its own; `x plain` is the median of the turns' ratios, as other load mostly falls on both "
        "sides of a turn. *encode*: the image encoder for one slice. *slice*: one more slice of a propagation with a "
        "full memory, everything included. *decode*: a second prompt on an encoded slice "
        "of 512 x 512, from the box to the mask. *open*: until the engine is ready; in brackets the first time on a "
        "machine, with conversion and self-check. *peak*: resident memory up to the first answers, plain eager not "
        "run.",
        speed_table(speed),
        "![Seconds a slice](benchmarks.png)",
    ]
    if cases:
        parts += [
            "## Public cases from one 3D box",
            f"LiteMedSAM, strategy `{cases[0]['strategy']}`: Dice against the reference mask, and the time for the "
            "whole case.",
            case_table(cases),
        ]
    if steps:
        parts += [
            "## From start to result",
            "LiteMedSAM's previews go through the worker process, as in 3D Slicer. Objects: a CT of 13 slices of 512 x "
            "512, nothing encoded before.",
            path_table(steps),
        ]
    parts += [kept] if kept else []
    parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def kept_section(path: Path) -> str:
    """Return the section of a page whose figures were entered by hand; "" where there is none."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    start = text.find(KEPT_HEADING)
    return "" if start < 0 else text[start : text.find("\n## ", start)].strip()


def write_plot(path: Path, rows: Sequence[Row]) -> None:
    """Bars: seconds to encode a slice, one group a model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    models = list(dict.fromkeys(row["model"] for row in rows))
    kinds = list(dict.fromkeys((row["engine"], row["precision"]) for row in rows))
    figure, axes = pyplot.subplots(figsize=(8, 4.2), dpi=110)
    height = 0.8 / len(kinds)
    for position, (engine, precision) in enumerate(kinds):
        chosen = [row for row in rows if (row["engine"], row["precision"]) == (engine, precision)]
        places = [models.index(row["model"]) + (position - (len(kinds) - 1) / 2) * height for row in chosen]
        bars = axes.barh(
            places, [row["encode"] for row in chosen], height, label=f"{ENGINE_TITLES[engine]} {precision}"
        )
        axes.bar_label(bars, [f" {row['encode']:.2f}" for row in chosen], fontsize=8)
    axes.set_yticks(range(len(models)), models)
    axes.invert_yaxis()
    axes.set_xlabel("seconds to encode one slice")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)
