"""Writes the tables of README.md that repeat facts of the code or of a run, between their marker lines.

    python Resources/docs/make_tables.py [demo/report.json]

With the report of `medsam-segment demo` the table of the demo is written too. A test compares the others.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
README = REPO / "README.md"
sys.path.insert(0, str(REPO))


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
    """Sequence and title of each of the effect's keys. Read from the source: the file needs Slicer's Qt."""
    source = (REPO / "MedSAMSegmentLib" / "ui" / "effect" / "shortcuts.py").read_text(encoding="utf-8")
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Key"
    ]
    found = [[ast.literal_eval(argument) for argument in call.args] for call in calls]
    return [(sequence, title) for sequence, _action, title in found]


def demo_table(report: Path) -> str:
    """The organs, and below them what computed them."""
    facts = json.loads(report.read_text(encoding="utf-8"))
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


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def section(text: str, name: str) -> tuple[int, int]:
    """Where the lines of the table called `name` begin and end, between its two marker lines."""
    opening = f"<!-- {name} table -->\n"
    start = text.index(opening) + len(opening)
    return start, text.index(f"<!-- end of {name} table -->", start)


def main(arguments: Sequence[str]) -> None:
    text = README.read_text(encoding="utf-8")
    tables = {"models": models_table(), "keys": keys_table()}
    if arguments:
        tables["demo"] = demo_table(Path(arguments[0]))
    for name, body in tables.items():
        start, end = section(text, name)
        text = text[:start] + body + text[end:]
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
