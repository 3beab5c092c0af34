"""Two revisions of the library beside each other: their slices take turns in two processes.

python Testing/bench/compare.py REVISION
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
ROUNDS = 8

# Only calls that every revision has had from the start.
CHILD = """
import sys, time
import numpy as np
from MedSAMSegmentLib.inference.open import load_predictor
from MedSAMSegmentLib.inference.slice_prompts import SlicePrompts
predictor = load_predictor("lite_medsam", device="cpu")
image = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
prompts = SlicePrompts(box_xyxy=(150.0, 160.0, 330.0, 350.0))
predictor.predict(predictor.encode(image), prompts)
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    embedding = predictor.encode(image)
    encode = time.perf_counter() - start
    decode = []
    for _ in range(4):
        start = time.perf_counter()
        predictor.predict(embedding, prompts)
        decode.append(time.perf_counter() - start)
    print(encode, min(decode), flush=True)
"""


class Revision:
    """A process with the library at one folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._line()

    def measure(self) -> tuple[float, float]:
        """Seconds to encode a slice and to answer a prompt on it."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        encode, decode = map(float, self._line().split())
        return encode, decode

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a revision's process ended early")
        return line


def compare(revision: str) -> str:
    """A table of the best times of this working tree and of `revision`."""
    with checked_out(revision) as folder:
        sides = [Revision(REPO), Revision(folder)]
        try:
            times = [[side.measure() for side in sides] for _ in range(ROUNDS)]
        finally:
            for side in sides:
                side.close()
    (mine_e, mine_d), (their_e, their_d) = (
        [min(turn[side][part] for turn in times) for part in (0, 1)] for side in (0, 1)
    )
    return "\n".join(
        [
            "LiteMedSAM, seconds       encode   decode",
            f"this working tree       {mine_e:8.3f} {mine_d:8.3f}",
            f"{revision[:20]:<22}  {their_e:8.3f} {their_d:8.3f}",
            f"times faster            {their_e / mine_e:8.2f} {their_d / mine_d:8.2f}",
        ]
    )


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "revision"
        git = ["git", "-C", str(REPO), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


if __name__ == "__main__":
    print(compare(sys.argv[1]))
