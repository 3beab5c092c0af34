"""`models`, `info`, `--help`, `--version`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from cli_support import Run

from MedSAMSegmentLib import registry


def test_help_lists_the_commands_without_importing_anything_heavy() -> None:
    code = (
        "import sys; from MedSAMSegmentLib.cli import build_parser; text = build_parser().format_help(); "
        "heavy = {'torch', 'numpy', 'SimpleITK', 'scipy', 'requests'} & set(sys.modules); "
        "assert not heavy, heavy; print(text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "models", "demo", "info"):
        assert command in done.stdout


def test_a_usage_mistake_exits_with_two(medsam: Run) -> None:
    assert medsam("run").returncode == 2
    assert medsam("fly").returncode == 2


def test_the_list_of_models_names_every_entry_and_its_state(medsam: Run, tmp_path: Path) -> None:
    done = medsam("models", "list", "--json", env={"MEDSAM_MODEL_DIR": str(tmp_path)})
    listing = json.loads(done.stdout)
    assert [row["id"] for row in listing["models"]] == [entry.id for entry in registry.entries()]
    assert {row["state"] for row in listing["models"]} == {"missing"}
    assert "lite_medsam" in medsam("models").stdout


def test_a_file_is_imported_verified_and_removed(medsam: Run, lite_checkpoint: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "store", tmp_path / "mine.pth"
    shutil.copy(lite_checkpoint, file)
    env = {"MEDSAM_MODEL_DIR": str(store)}
    entry = registry.get("lite_medsam")
    assert entry.sha256 in medsam("models", "import", "lite_medsam", file, env=env).stdout
    assert medsam("models", "verify", "lite_medsam", env=env).returncode == 0
    (store / entry.file_name).write_bytes(b"damaged")
    damaged = medsam("models", "verify", "lite_medsam", env=env)
    assert damaged.returncode == 4
    assert entry.sha256 in damaged.stderr
    assert "removed" in medsam("models", "remove", "lite_medsam", env=env).stdout
    assert not (store / entry.file_name).exists()
    assert medsam("models", "verify", "lite_medsam", env=env).returncode == 4


def test_a_wrong_file_is_not_imported(medsam: Run, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>")
    done = medsam(
        "models", "import", "lite_medsam", tmp_path / "page.pth", env={"MEDSAM_MODEL_DIR": str(tmp_path / "s")}
    )
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1


def test_info_describes_an_image(medsam: Run, oblique_nrrd: Path) -> None:
    facts = json.loads(medsam("info", oblique_nrrd, "--json").stdout)
    assert facts["size_ijk"] == [96, 72, 3]
    assert facts["spacing_mm_ijk"] == [0.8, 0.9, 4.0]
    assert "spacing_mm_ijk" in medsam("info", oblique_nrrd).stdout
