"""The catalogue entry follows the index's schema and rules, and agrees with the root CMakeLists.txt."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
from update_cmake_lists import FOLDERS, listed_files, tracked_files, with_lists

REPO = Path(__file__).resolve().parents[2]
SCHEMA_URL = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
# The properties that version 1.0.1 of the schema allows, with their types; no other is permitted.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["$schema", "category", "scm_url"],
    "properties": {
        "$schema": {"type": "string", "const": SCHEMA_URL},
        "category": {"type": "string"},
        "scm_url": {"type": "string", "pattern": r"^(https|git)://"},
        "scm_revision": {"type": "string"},
        "scm_type": {"enum": ["git", "local"]},
        "build_dependencies": {"type": "array", "items": {"type": "string"}},
        "build_subdirectory": {"type": "string"},
        "enabled": {"type": "boolean"},
        "tier": {"type": "integer", "enum": [1, 3, 5]},
    },
}


@pytest.fixture(scope="module")
def entry() -> dict[str, object]:
    content = (REPO / "extension.json").read_bytes()
    assert b"\r" not in content, "the index wants LF line ends"
    return json.loads(content)


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    """EXTENSION_* of the root file, read with a regular expression as the index's checker reads them."""
    text = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)$', text, re.MULTILINE))


def test_the_entry_follows_the_schema(entry: dict[str, object]) -> None:
    jsonschema.validate(entry, SCHEMA)


def test_an_unknown_property_would_be_refused(entry: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**entry, "homepage": "x"}, SCHEMA)


def test_entry_and_root_file_agree(entry: dict[str, object], metadata: dict[str, str]) -> None:
    assert metadata["CATEGORY"] == entry["category"] == "Segmentation"
    assert str(entry["scm_url"]).removesuffix(".git") == metadata["HOMEPAGE"]
    depends = [] if metadata["DEPENDS"] == "NA" else metadata["DEPENDS"].split()
    assert depends == entry["build_dependencies"]


def test_names_follow_the_rules_of_the_index(entry: dict[str, object]) -> None:
    text = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
    project = re.search(r"^project\((\w+)\)$", text, re.MULTILINE)
    assert project is not None
    assert project.group(1) == "MedSAMSegment"
    assert not project.group(1).startswith("Slicer")
    assert str(entry["scm_url"]).rsplit("/", 1)[1].startswith("Slicer")


def test_urls_are_literal_and_point_to_pictures_of_the_repository(metadata: dict[str, str]) -> None:
    for name in ("ICONURL", "SCREENSHOTURLS"):
        for url in metadata[name].split():
            assert url.startswith("https://")
            assert "$" not in url
            assert url.endswith((".png", ".jpg", ".gif"))
            picture = url.split("/main/", 1)[1]
            assert (REPO / picture).read_bytes().startswith(b"\x89PNG")


def test_every_screenshot_of_the_application_is_shown(metadata: dict[str, str]) -> None:
    names = [url.rsplit("/", 1)[1] for url in metadata["SCREENSHOTURLS"].split()]
    assert names == ["MedSAMSegment.png", "effect_box.png", "panel.png"]


def test_contributors_have_an_affiliation(metadata: dict[str, str]) -> None:
    """The catalogue shows: Name (affiliation), Name (affiliation)."""
    assert re.fullmatch(r"[^(),]+ \([^()]+\)(, [^(),]+ \([^()]+\))*", metadata["CONTRIBUTORS"])


def test_the_description_says_what_it_is_for(metadata: dict[str, str]) -> None:
    assert len(metadata["DESCRIPTION"]) > 80
    assert "research" in metadata["DESCRIPTION"].lower()
    assert metadata["CONTRIBUTORS"]


def test_the_license_lies_in_the_root() -> None:
    assert (REPO / "LICENSE").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("folder", FOLDERS)
def test_cmake_lists_every_file(folder: str) -> None:
    """When this fails, run Testing/packaging/update_cmake_lists.py."""
    text = (REPO / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    assert sorted(listed_files(text)) == tracked_files(folder)


def test_rewriting_the_lists_keeps_the_rest_of_the_file() -> None:
    text = "set(A 1)\nset(MODULE_PYTHON_SCRIPTS\n  old.py\n  )\n\nset(MODULE_PYTHON_RESOURCES\n  )\nlast()\n"
    new = with_lists(text, ["a.py", "b/c.py", "d.json"])
    assert listed_files(new) == ["a.py", "b/c.py", "d.json"]
    assert new.startswith("set(A 1)\n")
    assert new.endswith("last()\n")
    assert with_lists(new, ["a.py", "b/c.py", "d.json"]) == new


def test_no_scripted_module_is_found_by_accident() -> None:
    """Every top-level .py of the module folder is taken for a module by the application."""
    listed = subprocess.run(
        ["git", "ls-files", "MedSAMSegment/*.py"], cwd=REPO, capture_output=True, encoding="utf-8", check=True
    )
    top_level = [name for name in listed.stdout.split() if name.count("/") == 1]
    assert top_level in ([], ["MedSAMSegment/MedSAMSegment.py"])
