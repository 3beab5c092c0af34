"""Write `Resources/docs/faults.md` from the report of the fault campaign beside it.

python Testing/faults/faults_page.py
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from campaign import PARTS

DOCS = Path(__file__).resolve().parents[2] / "Resources" / "docs"
REPORT, PAGE = DOCS / "faults.json", DOCS / "faults.md"

WHAT = {
    "reading": "damaged files of every kind, given to their readers",
    "writing": "writers of every format, attacked",
    "store": "the folder of weights: attacks, a server that fails, damaged files, two processes",
    "worker": "worker and client, each with the other killed, stopped or talking nonsense",
    "weights": "damaged checkpoints, descriptions, sealed files",
    "command": "the command line with damaged images, prompts and weights",
    "runs": "whole runs with LiteMedSAM, attacked",
}
HARM = (
    "wrong results", "half-written files", "waits without end", "orphan processes", "errors without a clear sentence",
)  # fmt: skip

TEXT = """# Faults

What becomes of the product when files, disks, networks and processes fail. Made by `Testing/faults/faults_page.py` from
`faults.json`, the report of `make faults` and `make fuzz`; how they work stands in
[Testing/README.md](../../Testing/README.md).

{total} faults were injected, {kinds} kinds on {targets} targets; a whole night's run injects {nightly}, and
`campaign.py --continue` goes on from here.

{parts}

*Wrong*: a result that is not the right one, a damaged file read as if it were whole, or names beside other masks.
*Half-written*: a file under its own name that is neither the old nor the new one, or one left behind by a process that
was not killed. *Endless*: no end within two minutes. *Orphans*: processes that outlive by 20 seconds whoever started
them. *Unclear*: an exception, trace or signal in place of a sentence with a remedy.

## How the faults ended

{endings}

"killed" are processes that were ended on purpose; what they left is judged like everything else.

## Kinds of faults

{faults}

{skipped}{found}
## Damaged bytes for the parsers

{inputs} inputs, {findings} crashes, hangs or exceptions that are no sentence.

{fuzz}
"""


FOUND = """## What the campaign found, and what became of it

| found | now | test |
| --- | --- | --- |
| a full disk left a cut NIfTI or NRRD label map in the place of the old one, with exit code 0 | what was written is read again before it is moved; the old one stays | `test_a_disk_that_is_full_leaves_what_was_there_and_says_so` |
| a process killed between the two files left masks beside the names of other masks | both are moved together, the old list removed first | `test_a_label_map_that_cannot_be_moved_keeps_its_list_of_names` |
| packed NRRD and MetaImage files with damaged voxels were read as whole, or with what lay in memory | refused | `test_packed_voxels_that_were_altered_are_refused` |
| PNG files with damaged pixels were read as whole, as images and as masks | refused | `test_a_png_whose_pixels_were_altered_is_refused`, `test_a_mask_picture_whose_pixels_were_altered_is_refused` |
| damaged `.seg.nrrd` and TIFF files ended in exceptions of the libraries | a sentence | `test_a_damaged_segmentation_of_slicer_is_refused`, `test_a_tiff_whose_tables_lie_behind_its_end_is_refused` |
| garbage named `.safetensors` ended in an exception of that library | a sentence | `test_garbage_with_the_suffix_of_safetensors_is_refused` |
| a redirect to what is no address ended in a ValueError | a sentence | `test_a_redirect_to_what_is_no_address_is_a_sentence` |
"""  # noqa: E501


def page(report: dict[str, Any]) -> str:
    """Return the text of the page."""
    parts = {name: report["parts"][name] for name in WHAT if name in report.get("parts", {})}
    faults = [(name, row) for name, part in parts.items() for row in part["faults"]]
    kinds: Counter[str] = Counter()
    for _name, row in faults:
        kinds[row["kind"]] += row["count"]
    fuzz = report.get("fuzz", {})
    skipped = {what: reason for part in parts.values() for what, reason in part["skipped"].items()}
    return TEXT.format(
        total=f"{sum(part['total'] for part in parts.values()):,}",
        kinds=len(kinds),
        nightly=f"{sum(PARTS.values()):,}",
        targets=len({(name, row["target"]) for name, row in faults}),
        parts=_table(
            ("part", "on", "faults", "wrong", "half-written", "endless", "orphans", "unclear", "processor seconds"),
            (
                (name, WHAT[name], f"{part['total']:,}", *(part["harm"][harm] for harm in HARM), part["cpu_seconds"])
                for name, part in parts.items()
            ),
        ),
        endings=_table(
            ("part", "how, and how often"),
            (
                (name, ", ".join(f"{ending} {count:,}" for ending, count in part["endings"].items()))
                for name, part in parts.items()
            ),
        ),
        faults=_table(("kind", "faults"), ((kind, f"{count:,}") for kind, count in sorted(kinds.items()))),
        skipped="".join(
            f"Not injected where the report was made: {what} ({why}).\n\n" for what, why in skipped.items()
        ),
        found=FOUND,
        inputs=f"{sum(one['inputs'] for one in fuzz.values()):,}",
        findings=sum(one["findings"] for one in fuzz.values()),
        fuzz=_table(("parser", "inputs"), ((name, f"{one['inputs']:,}") for name, one in fuzz.items())),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(REPORT.read_text(encoding="utf-8"))), encoding="utf-8")
