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

from MedSAMSegmentLib.cohort import local_engine  # noqa: E402

AS_A_CASE_PROCESS = "as-a-case-process"


def case_process() -> None:
    """Run cases, as `MedSAMSegmentLib.cohort.case_process` does, without the weights."""
    from fake_model import BrightPixels

    from MedSAMSegmentLib.cohort import case_process
    from MedSAMSegmentLib.cohort.case import KeptModel

    class Network(BrightPixels):
        title, weights_sha256, weights_note = "cpu float32", "0" * 64, ""

        def __init__(self) -> None:
            super().__init__()
            self.entry = SimpleNamespace(id="bright", kind="slice", family="", input_size=64)

    network = Network()
    KeptModel.get = lambda self, options: network  # type: ignore[method-assign, assignment, return-value]
    case_process.main()


def main(arguments: list[str]) -> int:
    if arguments == [AS_A_CASE_PROCESS]:
        case_process()
        return 0
    from MedSAMSegmentLib.cli import main as command_line

    local_engine.CASE_PROCESS[:] = [sys.executable, __file__, AS_A_CASE_PROCESS]
    return command_line(["cohort", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
