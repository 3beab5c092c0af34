"""Print how far MedSAM2 and EfficientTAM are from the official code, as a Markdown table.

python Testing/parity/parity_table.py [MODEL ...]
"""

from __future__ import annotations

import sys
import time

import sam2_golden as golden

COLUMNS = (
    "model", "case", "logits max", "logits mean", "pointer max", "IoU, score max", "memory mean", "mask pixels",
    "within limits", "seconds",
)  # fmt: skip


def row(name: str, case: str) -> list[str]:
    start = time.perf_counter()
    comparison = golden.compare(*golden.run_case(name, case))
    seconds = time.perf_counter() - start
    logits = comparison.worst("_lowres")
    pointer = comparison.worst("_ptr")[0]
    scores = comparison.worst("_iou", "_iou3", "_score")[0]
    memory = comparison.worst("_memfeat_sample")[1]
    numbers = [f"{value:.1e}" for value in (*logits, pointer, scores, memory)]
    verdict = "yes" if not comparison.problems else "; ".join(comparison.problems)
    return [name, case, *numbers, str(comparison.pixels), verdict, f"{seconds:.1f}"]


def main(names: list[str]) -> None:
    print(f"| {' | '.join(COLUMNS)} |")
    print("|" + " --- |" * len(COLUMNS))
    for name in names:
        for case in golden.cases(name):
            print(f"| {' | '.join(row(name, case))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(golden.FAMILIES))
