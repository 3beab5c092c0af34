"""The page on parity names every doubtful point of the official code, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parents[1]
PAGE = (TESTING.parent / "Resources" / "docs" / "parity.md").read_text(encoding="utf-8")
ROWS = {
    cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
    for cells in (line.split("|") for line in PAGE.splitlines() if re.match(r"\| Q\d+ ", line))
}
TESTS = {
    name
    for path in TESTING.rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
}


def test_every_point_has_a_row() -> None:
    assert list(ROWS) == [f"Q{number}" for number in range(1, 21)]


@pytest.mark.parametrize("point", ROWS)
def test_a_row_names_tests_that_exist_or_says_why_there_is_none(point: str) -> None:
    official, default, reference, shown = ROWS[point]
    assert official
    named = re.findall(r"`(test_\w+)`", shown)
    assert set(named) <= TESTS
    assert named or default.startswith("Does not apply") or shown.startswith("Not tried")
    assert default.startswith("Does not apply") == reference.startswith("Does not apply")
