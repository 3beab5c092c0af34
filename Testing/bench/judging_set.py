"""The judging set: cases that judge the answers, half of them looked at only once the tuning is over.

`collect_cases.py` makes the folder. `python Testing/bench/judging_set.py FOLDER` lists what it holds.

What is tuned and what untouched is fixed by a case's name and by nothing else: `is_tuned`. Figures of the two halves
are never put together, and no choice in the product is made on an untouched case.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MedSAMSegmentLib.geometry import VolumeGeometry

KNOWN = frozenset(
    {
        "right-lung",
        "left-lung",
        "thoracic-spine",
        "brain-tumour",
        "lesion-000001",
        "lesion-000009",
        "lesion-000015",
        "three-slice-heart",
        "three-slice-liver",
        "three-slice-spine",
        "fetal-head-000",
        "fetal-head-200",
        "fetal-head-500",
        "fetal-head-051",
        "fetal-head-100",
        "lesion-000010",
    }
)
"""The seven cases that the product was built on, the seven that showed where it fell short, and two heads that were
looked at while the key slice's answers were weighed: tuned, whatever their names come to."""


@dataclass(frozen=True, eq=False)
class JudgingCase:
    """`image` (z,y,x) or (z,y,x,3) in its source's numbers, `reference` (z,y,x) bool; one object. A picture has z = 1.

    `kind` is what is seen in it ("CT organ", "X-ray", ...), `modality` its DICOM modality, "" if unknown.
    """

    name: str
    kind: str
    modality: str
    image: NDArray
    reference: NDArray[np.bool_]
    geometry: VolumeGeometry
    source: str
    is_tuned: bool

    @property
    def is_flat(self) -> bool:
        """True for a single picture."""
        return self.reference.shape[0] == 1


def is_tuned(name: str) -> bool:
    """Return whether the case of this name may be tuned on: it is known, or the first byte of its name's SHA-256 is
    odd."""
    return name in KNOWN or hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def in_third(name: str) -> bool:
    """Return whether the case of this name is in the third that is judged unless all are asked for: the second byte of
    its name's SHA-256 can be divided by three."""
    return hashlib.sha256(name.encode()).digest()[1] % 3 == 0


def load_cases(folder: str | Path, *, tuned: bool | None = None) -> Iterator[JudgingCase]:
    """Yield the cases of `folder` (NAME.npz) in the order of their names; only one half where `tuned` says which."""
    for path in sorted(Path(folder).glob("*.npz")):
        if tuned is None or is_tuned(path.stem) == tuned:
            yield read_case(path)


def read_case(path: Path) -> JudgingCase:
    """Read one case as `collect_cases.py` writes it."""
    with np.load(path, allow_pickle=False) as arrays:
        reference = arrays["reference"] > 0
        z, y, x = (float(v) for v in arrays["spacing"])
        return JudgingCase(
            path.stem,
            str(arrays["kind"]),
            str(arrays["modality"]),
            arrays["image"],
            reference,
            VolumeGeometry.from_spacing(reference.shape, (z, y, x)),
            str(arrays["source"]),
            is_tuned(path.stem),
        )


def main(folder: str) -> None:
    counts: Counter[tuple[str, bool]] = Counter()
    print("| case | kind | shape | half | from |\n|---|---|---|---|---|")
    for case in load_cases(folder):
        counts[case.kind, case.is_tuned] += 1
        shape, half = " x ".join(map(str, case.image.shape)), "tuned" if case.is_tuned else "untouched"
        print(f"| {case.name} | {case.kind} | {shape} | {half} | {case.source} |")
    print("\n| kind | tuned | untouched |\n|---|---|---|")
    for kind in sorted({kind for kind, _ in counts}):
        print(f"| {kind} | {counts[kind, True]} | {counts[kind, False]} |")
    tuned = sum(count for (_, half), count in counts.items() if half)
    print(f"| **all** | {tuned} | {counts.total() - tuned} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
