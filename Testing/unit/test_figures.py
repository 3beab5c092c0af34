"""No figure of the documentation is written by hand: each is made again from what a script wrote, and compared."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.version import __version__

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "Resources" / "docs"
FIGURES = DOCS / "figures"
HISTORY = {"experiments.md"}
"""Pages of figures of earlier revisions, which no script can measure again. Their heads say so."""

MEASURED = re.compile(r"(?<![\w./-])(?:[01]\.\d{2,}|\d+(?:\.\d+)?e-\d+)(?![\w.])")
"""A Dice, a confidence or a difference, as these pages write them."""


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


TABLES = load(DOCS / "make_tables.py")
BLOCKS = {f"{page.name}: {name}": (page, name, made) for (page, name), made in TABLES.BLOCKS.items()}


@pytest.mark.parametrize("block", BLOCKS)
def test_what_stands_in_a_page_is_what_the_scripts_wrote(block: str) -> None:
    """When this fails, run Resources/docs/make_tables.py."""
    page, name, made = BLOCKS[block]
    text = page.read_text(encoding="utf-8")
    start, end = TABLES.section(text, name)
    assert text[start:end] == made()


def test_the_page_of_benchmarks_is_what_its_figures_say() -> None:
    figures = json.loads((FIGURES / "benchmarks.json").read_text(encoding="utf-8"))
    page = load(REPO / "Testing" / "bench" / "report.py").page(figures)
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == page


def test_every_kept_figure_is_shown() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    kept = {path.name for path in FIGURES.glob("*.json") if path.stem not in TABLES.KEPT}
    assert {name for name in kept if f"figures/{name}" not in pages} == set()
    assert all((FIGURES / f"{kind}.json").is_file() for kind in TABLES.KEPT)


@pytest.mark.parametrize(
    "page",
    [REPO / "README.md", *sorted(set(DOCS.glob("*.md")) - {DOCS / name for name in HISTORY})],
    ids=lambda p: p.name,
)
def test_no_figure_is_written_by_hand(page: Path) -> None:
    if page.name == "benchmarks.md":
        pytest.skip("the whole page is made, see above")
    text = page.read_text(encoding="utf-8")
    for name in [name for where, name in TABLES.BLOCKS if where == page]:
        start, end = TABLES.section(text, name)
        text = text[:start] + text[end:]
    assert "-->\n|" not in text, "a table between marker lines that no script makes"
    assert MEASURED.findall(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)) == []


def test_a_figure_written_by_hand_would_be_found() -> None:
    assert MEASURED.findall("a Dice of 0.761, +0.05, 2.6e-6, but not 5.12.4, 10.1038/s41467-024 or Slicer-0.55") == [
        "0.761",
        "0.05",
        "2.6e-6",
    ]


def test_a_page_of_history_says_that_it_is() -> None:
    for name in HISTORY:
        head = (DOCS / name).read_text(encoding="utf-8")[:600]
        assert "those of the revisions at which" in head


def test_new_figures_are_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads((FIGURES / "clicks.json").read_text(encoding="utf-8"))
    found["rows"][0]["scores"][0] = 0.12345678
    path = tmp_path / "clicks.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(TABLES, "FIGURES", tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    TABLES.keep("clicks", path)
    assert TABLES.figures("clicks")["rows"][0]["scores"][0] == 0.123457
    assert TABLES.figures("clicks")["rows"][1:] == found["rows"][1:]
    assert "| 0.123 |" in TABLES.clicks_table()


def test_pictures_of_masks_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = {"tuned": True, "middle": {"index": 0, "bits": "x"}, "runs": {"default": {"dice": 0.5}}}
    path = tmp_path / "accuracy.json"
    path.write_text(json.dumps({"cases": {"a": case}}), encoding="utf-8")
    monkeypatch.setattr(TABLES, "FIGURES", tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    TABLES.keep("accuracy", path)
    assert TABLES.figures("accuracy") == {"cases": {"a": {"tuned": True, "runs": {"default": {"dice": 0.5}}}}}


def test_the_size_of_the_first_model_is_that_of_the_registry() -> None:
    size = f"{registry.get('lite_medsam').expected_bytes / 1e6:.0f} MB"
    pages = (REPO / "README.md", REPO / "Testing" / "README.md", *sorted(DOCS.glob("*.md")))
    said = [m for page in pages for m in re.findall(r"LiteMedSAM\*?[^|.\n]{0,40}\((\d+ MB)\)", page.read_text("utf-8"))]
    assert len(said) >= 2
    assert set(said) == {size}


def test_the_demo_was_run_with_this_version() -> None:
    assert TABLES.figures("demo")["versions"]["MedSAMSegmentLib"] == __version__
