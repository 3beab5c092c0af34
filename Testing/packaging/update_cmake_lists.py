"""Write the lists of scripts and resources in the CMakeLists.txt of module and library from the files in git.

python Testing/packaging/update_cmake_lists.py            rewrite
python Testing/packaging/update_cmake_lists.py --check    exit with 1 when a list is not current
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
FOLDERS = ("MedSAMSegment", "MedSAMSegmentLib")
NOT_PACKAGED = ("CMakeLists.txt",)

NOT_IN_SLICER = ("napari/", "service/viewer/")
"""Folders of the library that Slicer has no use for: the plug-in of napari, which needs a Qt that is not Slicer's, and
the page that is seen in a browser."""


def tracked_files(folder: str, repo: Path = REPO) -> list[str]:
    """Files of a top folder, relative to it, that git tracks or would add, sorted; without those that are deleted."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", folder]
    listed = subprocess.run(command, cwd=repo, check=True, capture_output=True, encoding="utf-8").stdout.split("\0")
    names = {name.removeprefix(f"{folder}/") for name in listed if name and (repo / name).is_file()}
    return sorted(name for name in names if Path(name).name not in NOT_PACKAGED and not name.startswith(NOT_IN_SLICER))


def with_lists(text: str, files: Iterable[str]) -> str:
    """The text of a CMakeLists.txt with both lists replaced: .py files are scripts, everything else is a resource."""
    files = list(files)
    scripts = [name for name in files if name.endswith(".py")]
    resources = [name for name in files if not name.endswith(".py")]
    for variable, names in (("MODULE_PYTHON_SCRIPTS", scripts), ("MODULE_PYTHON_RESOURCES", resources)):
        body = "".join(f"  {name}\n" for name in names)
        text = re.sub(rf"set\({variable}\n(?:  .*\n)*?  \)", f"set({variable}\n{body}  )", text)
    return text


def listed_files(text: str) -> list[str]:
    """The names in both lists of a CMakeLists.txt."""
    bodies = re.findall(r"set\(MODULE_PYTHON_(?:SCRIPTS|RESOURCES)\n((?:  .*\n)*?)  \)", text)
    return [line.strip() for body in bodies for line in body.splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    outdated = []
    for folder in FOLDERS:
        path = REPO / folder / "CMakeLists.txt"
        old = path.read_text(encoding="utf-8")
        new = with_lists(old, tracked_files(folder))
        if new != old:
            outdated.append(folder)
            if not check:
                path.write_text(new, encoding="utf-8")
    print(f"{'not current' if check else 'rewritten'}: {', '.join(outdated) or 'none'}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
