"""The documentation speaks of what exists: every model, key, command line option, file and link."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.cli import build_parser

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "Resources" / "docs"
PAGES = (
    *(REPO / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Testing/README.md")),
    *sorted(DOCS.glob("*.md")),
)
README = PAGES[0].read_text(encoding="utf-8")
GUIDE = (DOCS / "user_guide.md").read_text(encoding="utf-8")
TROUBLES = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_tables", DOCS / "make_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_short() -> None:
    assert PAGES[0].stat().st_size <= 9000


def test_the_readme_has_the_steps_of_a_newcomer_and_no_more() -> None:
    sections = {part.split("\n", 1)[0]: part for part in README.split("\n## ")[1:]}
    assert len(re.findall(r"^\d\. ", sections["Install in 3D Slicer"], flags=re.MULTILINE)) == 4
    assert len(re.findall(r"^\d\. ", sections["First segment"], flags=re.MULTILINE)) == 6
    assert sections["First segment"].count("![") == 2
    assert re.findall(r"^- \*\*(\w+)", sections["Accuracy"], flags=re.MULTILINE) == ["Tuned", "Untouched"]
    assert sections["When something goes wrong"].count("\n| ") == 2 + 5
    assert sections["Models"].count("\n| ") == 2 + 6


def test_the_readme_leads_to_every_page() -> None:
    """In one step, or through a page that it names."""
    reached = linked_pages(PAGES[0])
    reached |= {page for first in reached for page in linked_pages(first)}
    assert {page for page in PAGES[1:] if page not in reached} == set()


def linked_pages(page: Path) -> set[Path]:
    found = re.findall(r"\]\(([^)#]+\.md)", page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in found if not link.startswith("http")}


def test_the_tables_of_models_name_all_of_them(tables: ModuleType) -> None:
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    assert [entry.id for entry in registry.entries() if f"| `{entry.id}` |" not in page] == []
    assert len(tables.FIRST_MODELS) == 6
    assert [name for name in tables.FIRST_MODELS if f"| `{name}` |" not in README] == []


def test_the_keys_are_read_from_the_effect(tables: ModuleType) -> None:
    assert len(tables.effect_keys()) > 10


def test_the_help_of_the_effect_names_only_keys_that_exist(tables: ModuleType) -> None:
    source = (REPO / "MedSAMSegment" / "MedSAMSegmentEffect" / "SegmentEditorEffect.py").read_text(encoding="utf-8")
    named = re.findall(r"<b>([A-Z])</b> (?:propagate|write|cancel|box|point|line|this)", source)
    assert len(named) >= 7
    assert set(named) <= {sequence for sequence, _title in tables.effect_keys()}


def test_the_table_of_the_demo_has_its_organs(tables: ModuleType) -> None:
    from MedSAMSegmentLib.commands.demo import ORGANS

    rows = [line.split("|") for line in tables.demo_table().splitlines() if line.startswith("|")][2:]
    assert [row[1].strip() for row in rows] == [organ.name for organ in ORGANS]


def commands(page: Path) -> list[str]:
    return re.findall(r"^medsam-segment (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_command_in_the_documentation_parses() -> None:
    parser = build_parser()
    assert len(commands(PAGES[0])) == 3
    assert len(commands(DOCS / "command_line.md")) >= 15
    for page in PAGES:
        for command in commands(page):
            parser.parse_args(shlex.split(command.split(" # ")[0]))


def test_the_first_command_is_about_a_picture() -> None:
    for page in (PAGES[0], DOCS / "command_line.md"):
        options = build_parser().parse_args(shlex.split(commands(page)[0]))
        assert Path(options.output).suffix == ".png"
        assert len(options.prompts[0][1]) == 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_local_link_and_picture_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    for link in (link for link in links if not link.startswith("http")):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


def headings(page: Path) -> set[str]:
    """Return the anchors of a page. What stands in code blocks is no heading."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")}


def user_interface() -> str:
    """The sources of all that the user reads in Slicer."""
    folders = (REPO / "MedSAMSegmentLib", REPO / "MedSAMSegment")
    return "\n".join(p.read_text(encoding="utf-8") for folder in folders for p in sorted(folder.rglob("*.py")))


def test_every_message_that_is_quoted_is_one_that_the_program_gives() -> None:
    rows = [line.split("|")[1] for text in (TROUBLES, README) for line in text.splitlines() if line.startswith("|")]
    quoted = [quote for row in rows for quote in re.findall(r'"([^"]+)"', row)]
    assert len(quoted) >= 8
    source = user_interface()
    pieces = [piece.strip() for quote in quoted for piece in quote.split("...") if piece.strip()]
    assert [piece for piece in pieces if piece not in source] == []


def test_every_button_that_is_named_exists() -> None:
    names = (
        "Install what is missing...",
        "Self-check",
        "Download",
        "Import from file...",
        "Help",
        "Copy report",
    )
    names += ("Slicer's own", "Align the views", "Open in Segment Editor", "As displayed", "Each box is a new segment")
    source = user_interface()
    for name in names:
        assert f"*{name}*" in README + GUIDE + TROUBLES, name
        assert f'_("{name}")' in source, name


def test_what_the_examples_in_python_import_exists() -> None:
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.+?)```", README + page, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        imports = [n for n in ast.parse(block).body if isinstance(n, ast.ImportFrom)]
        assert imports
        for statement in imports:
            module = importlib.import_module(str(statement.module))
            assert all(hasattr(module, name.name) for name in statement.names)


def anchor(heading: str) -> str:
    """A heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_no_placeholder_is_left(page: Path) -> None:
    assert re.findall(r"^[A-Z_]{6,}$", page.read_text(encoding="utf-8"), flags=re.MULTILINE) == []


def test_the_architecture_names_files_that_exist() -> None:
    library = REPO / "MedSAMSegmentLib"
    names = set(re.findall(r"`([\w./]+\.py)`", (DOCS / "architecture.md").read_text(encoding="utf-8")))
    assert len(names) > 20
    files = {path.name for path in (*library.rglob("*.py"), *(REPO / "MedSAMSegment").rglob("*.py"))}
    files |= {path.name for folder in ("Resources", "Testing") for path in (REPO / folder).rglob("*.py")}
    assert {name for name in names if Path(name).name not in files} == set()


def test_the_architecture_names_every_folder_of_the_library() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    library = REPO / "MedSAMSegmentLib"
    folders = {path.parent.relative_to(library).as_posix() for path in library.rglob("__init__.py")} - {"."}
    assert {folder for folder in folders if f"`{folder}/`" not in text} == set()


def test_the_pictures_can_be_loaded_quickly() -> None:
    pictures = [
        (page, picture)
        for page in PAGES
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert [page.name for page, _ in pictures].count("README.md") == 3
    for page, picture in pictures:
        assert (page.parent / picture).stat().st_size < 400_000, picture


def test_the_catalogue_shows_a_picture_that_exists() -> None:
    text = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
    address = re.search(r'EXTENSION_SCREENSHOTURLS "([^"]+)"', text)
    assert address is not None
    assert (REPO / "Resources" / "Screenshots" / address[1].rsplit("/", 1)[1]).is_file()
