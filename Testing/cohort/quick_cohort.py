"""The command `cohort` whose processes have a network that answers at once: the bright pixels of a box.

    python quick_cohort.py run MANIFEST -o OUT ...

All else is as it is: command line, plan, processes, sidecars, files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "Testing" / "unit")]

from MedSAMSegmentLib.cohort import local_engine, ray_engine  # noqa: E402

AS_A_CASE_PROCESS = "as-a-case-process"


def answer_at_once() -> None:
    """Let the cases of this process have the quick network."""
    from fake_model import BrightPixels

    from MedSAMSegmentLib.cohort.case import KeptModel

    class Network(BrightPixels):
        title, weights_sha256, weights_note = "cpu float32", "0" * 64, ""

        def __init__(self) -> None:
            super().__init__()
            self.entry = SimpleNamespace(id="bright", kind="slice", family="", input_size=64)

    network = Network()
    KeptModel.get = lambda self, options: network  # type: ignore[method-assign, assignment, return-value]


class QuickActor(ray_engine.CaseActor):
    def __init__(self) -> None:
        sys.path[:0] = [str(REPO), str(REPO / "Testing" / "unit")]
        answer_at_once()
        super().__init__()


def main(arguments: list[str]) -> int:
    if arguments == [AS_A_CASE_PROCESS]:
        from MedSAMSegmentLib.cohort import case_process

        answer_at_once()
        case_process.main()
        return 0
    from MedSAMSegmentLib.cli import main as command_line

    local_engine.CASE_PROCESS[:] = [sys.executable, __file__, AS_A_CASE_PROCESS]
    ray_engine.CaseActor = QuickActor  # type: ignore[misc]
    return command_line(["cohort", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
