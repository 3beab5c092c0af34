"""The project's own files agree with each other: versions, workflows, templates, citation and the README."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.version import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((REPO / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
YAML_FILES = [*WORKFLOWS, *TEMPLATES, REPO / "CITATION.cff", REPO / ".pre-commit-config.yaml"]


def text(name: str) -> str:
    return (REPO / name).read_text(encoding="utf-8")


def parsed(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


PROJECT = tomllib.loads(text("pyproject.toml"))["project"]


# Versions


def test_the_version_is_the_same_everywhere() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert released[0][0] == __version__
    citation = dict(re.findall(r"^(version|date-released): (\S+)$", text("CITATION.cff"), flags=re.MULTILINE))
    assert (citation["version"], citation["date-released"]) == released[0]
    assert PROJECT["dynamic"] == ["version"], "pyproject.toml takes it from version.py"


def test_the_changelog_goes_back_in_order() -> None:
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    numbers = [tuple(map(int, heading.split()[0].split("."))) for heading in headings[1:]]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("name", ["extension.json", "CMakeLists.txt"])
def test_the_catalogue_follows_a_branch_and_knows_no_version(name: str) -> None:
    assert __version__ not in text(name)
    assert not re.search(r"^project\([^)]*VERSION", text(name), flags=re.MULTILINE)
    if name == "extension.json":
        assert '"scm_revision": "main"' in text(name)


def test_pinned_versions_are_the_same_everywhere() -> None:
    """torch as the Makefile sets it up, slicer-core as the harness needs it."""
    pages = [REPO / "README.md", *sorted((REPO / "Resources" / "docs").glob("*.md")), *WORKFLOWS]
    everything = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    torch = re.search(r"^TORCH +\?= torch==(\S+)$", text("Makefile"), flags=re.MULTILINE)
    assert torch is not None
    assert set(re.findall(r"torch==([\d.]*\d)", everything)) == {torch[1]}
    (core,) = [p.split("==")[1] for p in PROJECT["optional-dependencies"]["mrml"] if p.startswith("slicer-core")]
    assert set(re.findall(r"slicer-core (\d+\.\d[\d.]*\d)", everything)) == {core}


def test_python_versions_are_the_same_everywhere() -> None:
    classified = re.findall(r":: Python :: (3\.\d+)'", str(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={classified[0]}"
    for name in ("README.md", "CONTRIBUTING.md", "Resources/docs/command_line.md"):
        assert f"{classified[0]} to {classified[-1]}" in " ".join(text(name).split()), name
    run = re.search(r'python: \["(3\.\d+)", "(3\.\d+)"\]', text(".github/workflows/tests.yml"))
    assert run is not None
    assert list(run.groups()) == [classified[0], classified[-1]]


def test_one_address_is_the_repository_s_everywhere() -> None:
    homepage = re.search(r'EXTENSION_HOMEPAGE "([^"]+)"', text("CMakeLists.txt"))
    assert homepage is not None
    assert all(url.startswith(homepage[1]) for url in PROJECT["urls"].values())
    assert f"repository-code: {homepage[1]}\n" in text("CITATION.cff")


# Workflows, templates and the rest in YAML


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_it_is_yaml(path: Path) -> None:
    assert isinstance(parsed(path), dict)


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_paths_and_targets_that_exist(path: Path) -> None:
    commands = "\n".join(str(step.get("run", "")) for step in steps(parsed(path)))
    assert_names_exist(commands)


def test_the_hooks_name_paths_that_exist() -> None:
    hooks = [hook for repo in parsed(REPO / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert_names_exist("\n".join(hook["entry"] for hook in hooks))
    tools = {hook["entry"].split()[0] for hook in hooks}
    assert tools == {".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/python"}


def assert_names_exist(commands: str) -> None:
    """Compare the make targets, the paths and the modules in shell commands with what there is."""
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.MULTILINE))
    for called in re.findall(r"^make ([a-z -]+)", commands, flags=re.MULTILINE):
        assert set(called.split()) <= targets, called
    for name in re.findall(r"(?<![\w./-])((?:Testing|Resources|MedSAMSegment\w*)/[\w./-]+)", commands):
        assert (REPO / name).exists(), name
    for module in re.findall(r"-m (MedSAMSegment\w*)", commands):
        assert (REPO / module / "__main__.py").is_file(), module


def test_a_wrong_name_in_a_command_would_be_found() -> None:
    for wrong in ("make tests", "python -m pytest Testing/nowhere", "python -m MedSAMSegmentLibrary models"):
        with pytest.raises(AssertionError):
            assert_names_exist(wrong)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), "values from outside reach a script through the environment only"


def test_windows_and_macos_run_the_library_alone() -> None:
    library = parsed(REPO / ".github" / "workflows" / "tests.yml")["jobs"]["library"]
    (command,) = [step["run"] for step in library["steps"] if "pytest" in step.get("run", "")]
    folders = {path.name for path in (REPO / "Testing").iterdir() if list(path.glob("test_*.py"))}
    left_out = folders - {word.removeprefix("Testing/") for word in command.split()}
    assert "app" in left_out
    assert not {"unit", "io", "checkpoints", "cli", "worker", "mrml"} & left_out


@pytest.mark.parametrize("path", [p for p in TEMPLATES if p.name != "config.yml"], ids=lambda path: path.name)
def test_a_template_asks_something(path: Path) -> None:
    form = parsed(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(asked) == len(set(asked)) >= 2
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_every_paper_is_cited() -> None:
    citation = text("CITATION.cff")
    missing = []
    for cited in sorted({entry.citation for entry in registry.entries()}):
        title = re.search(r"et al\., (.+?)(?:,| ICCV)", cited)
        assert title is not None
        if not re.search(re.escape(title[1]), citation, flags=re.IGNORECASE):
            missing.append(cited)
        year = re.findall(r"\b20\d\d\b", cited)[-1]
        assert f"year: {year}" in citation
    assert missing == []


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = parsed(REPO / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference)


# What the catalogue looks for


def test_the_homepage_has_what_the_catalogue_asks_for() -> None:
    page = text("README.md")
    assert page.startswith("# MedSAMSegment\n")
    assert "*MedSAM Segment*" in page
    assert "*MedSAM*" in page
    assert "Apache License 2.0" in page
    assert "https://doi.org/" in page
    assert "not a medical device" in page


def test_the_page_on_the_catalogue_is_short_and_names_tests_that_exist() -> None:
    page = text("Resources/docs/slicer_listing.md")
    assert len(page.splitlines()) <= 60
    named = set(re.findall(r"`(test_\w+\.py)`", page))
    assert named
    assert [name for name in named if not (REPO / "Testing" / "packaging" / name).is_file()] == []


def test_the_wheel_tells_who_made_it_and_for_whom() -> None:
    assert PROJECT["authors"] == [{"name": "The MedSAMSegment contributors"}]
    assert {"Homepage", "Documentation", "Issues", "Changelog"} <= set(PROJECT["urls"])
    assert "Intended Audience :: Science/Research" in PROJECT["classifiers"]
    assert len(PROJECT["keywords"]) >= 5
    assert not [c for c in PROJECT["classifiers"] if c.startswith("License ::")], "the SPDX expression says it"
