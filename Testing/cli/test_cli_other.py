"""`models`, `info`, `--help`, `--version`."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import Run

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.cli import main


def test_help_lists_the_commands_without_importing_anything_heavy() -> None:
    code = (
        "import sys; from MedSAMSegmentLib.cli import build_parser; text = build_parser().format_help(); "
        "heavy = {'torch', 'numpy', 'SimpleITK', 'scipy', 'requests'} & set(sys.modules); "
        "assert not heavy, heavy; print(text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "models", "demo", "info"):
        assert command in done.stdout


def test_a_usage_mistake_exits_with_two(medsam: Run, medsam_process: Run) -> None:
    assert medsam_process("run").returncode == 2
    assert medsam("fly").returncode == 2


def test_the_list_of_models_names_every_entry_and_its_state(medsam: Run, tmp_path: Path) -> None:
    done = medsam("models", "list", "--json", models=tmp_path)
    listing = json.loads(done.stdout)
    assert [row["id"] for row in listing["models"]] == [entry.id for entry in registry.entries()]
    assert {row["state"] for row in listing["models"]} == {"missing"}
    assert "lite_medsam" in medsam("models").stdout


def test_a_file_is_imported_verified_and_removed(medsam: Run, lite_checkpoint: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "store", tmp_path / "mine.pth"
    shutil.copy(lite_checkpoint, file)
    entry = registry.get("lite_medsam")
    assert entry.sha256 in medsam("models", "import", "lite_medsam", file, models=store).stdout
    assert medsam("models", "verify", "lite_medsam", models=store).returncode == 0
    (store / entry.file_name).write_bytes(b"damaged")
    damaged = medsam("models", "verify", "lite_medsam", models=store)
    assert damaged.returncode == 4
    assert entry.sha256 in damaged.stderr
    assert "removed" in medsam("models", "remove", "lite_medsam", models=store).stdout
    assert not (store / entry.file_name).exists()
    assert medsam("models", "verify", "lite_medsam", models=store).returncode == 4


def test_a_file_whose_hash_is_not_published_is_held_to_the_one_that_came_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    entry = registry.get("medsam2_2411")
    assert entry.sha256 is None
    file = tmp_path / entry.file_name
    with file.open("wb") as placed:
        placed.truncate(entry.expected_bytes)
    digest = hashlib.sha256(bytes(entry.expected_bytes)).hexdigest()
    assert main(["models", "pull", entry.id]) == 0
    assert f"No SHA-256 of {entry.file_name} is published: {digest} was recorded" in capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert (rows[entry.id]["hash"], rows[entry.id]["sha256"]) == ("not published", digest)
    assert (rows["medsam"]["hash"], rows["medsam"]["sha256"]) == ("MD5", None)
    assert (rows["medsam2"]["hash"], rows["medsam2"]["sha256"]) == ("SHA-256", registry.get("medsam2").sha256)
    assert main(["models"]) == 0
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith(entry.id)]
    assert "not published" in line
    with file.open("r+b") as altered:
        altered.write(b"other")
    assert main(["models", "verify", entry.id]) == 4


def test_weights_of_the_users_own_are_imported_listed_used_and_removed(
    medsam: Run, lite_checkpoint: Path, oblique_nrrd: Path, tmp_path: Path
) -> None:
    import torch

    tensors = torch.load(lite_checkpoint, map_location="cpu", weights_only=True)
    name = next(key for key, value in tensors.items() if value.is_floating_point())
    tensors[name] = tensors[name] * 1.0001
    torch.save(tensors, tmp_path / "my tuned.pth")
    store = tmp_path / "store"
    done = medsam("models", "import", tmp_path / "my tuned.pth", models=store)
    assert done.returncode == 0, done.stderr
    assert "--model own-my_tuned.pth" in done.stdout
    rows = {row["id"]: row for row in json.loads(medsam("models", "list", "--json", models=store).stdout)["models"]}
    assert rows["own-my_tuned.pth"]["state"] == "ready"
    assert medsam("models", "verify", "own-my_tuned.pth", models=store).returncode == 0
    out = tmp_path / "o.nrrd"
    words = ("--box", 26, 16, 1, 74, 52, 1, "--range", 1, 1, "--model", "own-my_tuned.pth", "--offline", "-o", out)
    done = medsam("run", oblique_nrrd, *words, models=store)
    assert done.returncode == 0, done.stderr
    assert "removed" in medsam("models", "remove", "own-my_tuned.pth", models=store).stdout
    done = medsam("run", oblique_nrrd, *words, "--overwrite", models=store)
    assert done.returncode == 4
    assert "Import its file again" in done.stderr
    # A published file goes where it belongs, without its name.
    done = medsam("models", "import", lite_checkpoint, models=store)
    assert "lite_medsam is ready" in done.stdout


def test_a_wrong_file_is_not_imported(medsam: Run, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>")
    done = medsam("models", "import", "lite_medsam", tmp_path / "page.pth", models=tmp_path / "s")
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1


def test_info_describes_an_image(medsam: Run, oblique_nrrd: Path) -> None:
    facts = json.loads(medsam("info", oblique_nrrd, "--json").stdout)
    assert facts["size_ijk"] == [96, 72, 3]
    assert facts["spacing_mm_ijk"] == [0.8, 0.9, 4.0]
    assert "spacing_mm_ijk" in medsam("info", oblique_nrrd).stdout
