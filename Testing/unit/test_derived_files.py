"""Files derived from weights: held to their digests, and deleted when nothing has used them for a while."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.engines.base import EngineFiles
from MedSAMSegmentLib.inference.engines.sealed_files import is_whole, note_if_altered, seal, seal_path, unseal
from MedSAMSegmentLib.inference.engines.unused_files import remove_unused, touch_files

DAY = 24 * 3600


@pytest.fixture
def derived(tmp_path: Path) -> Path:
    path = tmp_path / "graph.xml"
    path.write_bytes(bytes(range(256)) * 5000)  # more than one block
    seal(path)
    return path


def test_a_sealed_file_is_whole_until_a_byte_of_it_changes(derived: Path) -> None:
    assert is_whole(derived)
    for place in (0, derived.stat().st_size - 1):
        content = bytearray(derived.read_bytes())
        content[place] ^= 1
        derived.write_bytes(content)
        assert not is_whole(derived)
        content[place] ^= 1
        derived.write_bytes(content)
        assert is_whole(derived)
    derived.write_bytes(derived.read_bytes()[:-1])
    assert not is_whole(derived)


def test_without_file_or_digest_nothing_is_whole(derived: Path, tmp_path: Path) -> None:
    seal_path(derived).write_bytes(b"\xff\xfe")
    assert not is_whole(derived)
    unseal(derived)
    assert not seal_path(derived).exists()
    unseal(derived)
    assert not is_whole(derived)
    assert not is_whole(tmp_path / "nothing")


def test_only_what_differs_from_its_digest_is_noted(derived: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    unsealed = tmp_path / "new.xml"
    unsealed.write_bytes(b"new")
    note_if_altered(notes, derived, unsealed, tmp_path / "nothing")
    assert notes == []
    derived.write_bytes(b"other")
    note_if_altered(notes, derived, unsealed)
    assert notes == ["graph.xml was altered or damaged and is made again"]
    derived.unlink()
    note_if_altered(notes, derived)
    assert len(notes) == 1


def test_what_was_not_used_for_two_weeks_goes_and_nothing_else(tmp_path: Path) -> None:
    files = EngineFiles(registry.get("lite_medsam"), "0123456789abcdef", tmp_path)
    old = tmp_path / f"{files.weights_stem}1.xml"
    recent = tmp_path / f"{files.weights_stem}2.xml"
    others = tmp_path / "other.0123456789ab.s1.xml"
    for path, days in ((old, 14.002), (recent, 13.998), (others, 99)):
        path.write_bytes(b"derived")
        then = time.time() - days * DAY
        os.utime(path, (then, then))
    remove_unused(files)
    assert [path.exists() for path in (old, recent, others)] == [False, True, True]


@pytest.mark.parametrize("changes", [{"weights_sha256": ""}, {"folder": None}])
def test_without_known_weights_or_folder_nothing_is_deleted(tmp_path: Path, changes: dict) -> None:
    old = tmp_path / "lite_medsam..s1.xml"
    old.write_bytes(b"derived")
    os.utime(old, (0, 0))
    remove_unused(
        EngineFiles(**{"entry": registry.get("lite_medsam"), "weights_sha256": "ab", "folder": tmp_path} | changes)
    )
    assert old.exists()


def test_a_file_is_as_old_as_its_last_use_and_so_is_its_digest(derived: Path, tmp_path: Path) -> None:
    both = (derived, seal_path(derived))
    for path in both:
        os.utime(path, (0, 0))
    touch_files(derived, tmp_path / "nothing")
    assert all(time.time() - path.stat().st_mtime < DAY for path in both)
