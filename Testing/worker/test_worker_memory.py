"""How much memory there is, and what a volume needs of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.worker import memory


def test_a_volume_needs_its_copies_and_its_8_bit_form() -> None:
    assert memory.volume_bytes_needed(2000, 1000) == 3000
    assert memory.volume_bytes_needed(2000, 1000, copies=2) == 5000


def test_a_volume_that_just_fits_is_taken() -> None:
    memory.check_volume_fits(2000, 1000, 3000)
    memory.check_volume_fits(2000, 1000, None)
    with pytest.raises(InputError, match=r"needs 3\.0 kB \(3,000 bytes\) of memory, 3\.0 kB is free"):
        memory.check_volume_fits(2000, 1000, 2999)
    with pytest.raises(InputError):
        memory.check_volume_fits(2000, 1000, 4999, copies=2)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (-1500, "-1.5 kB"),
        (10**9, "1.0 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_told_in_steps_of_a_thousand(count: float, text: str) -> None:
    assert memory.human_bytes(count) == text


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "5000\n", "memory.current": "3000\n"}, 2000),
        (
            {
                "memory.max": "5000",
                "memory.current": "3000",
                "memory.stat": "anon 9\ninactive_file 400\nactive_file 100\n",
            },
            2500,
        ),
        ({"memory.max": "5000", "memory.current": "300", "memory.stat": "inactive_file 400"}, 5000),
        ({"memory.max": "5000", "memory.current": "7000"}, 0),
        ({"memory.max": "max", "memory.current": "3000"}, None),
        ({"memory.max": "5000"}, None),
        ({"memory.max": "what", "memory.current": "3000"}, None),
        ({}, None),
    ],
)
def test_a_containers_limit_leaves_what_is_not_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], free: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._cgroup_available() == free


def test_linux_tells_kibibytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    3000 kB\n")
    monkeypatch.setattr(memory, "Path", lambda path: tmp_path / Path(path).name)
    assert memory._linux_available() == 3000 * 1024
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\n")
    assert memory._linux_available() is None
    (tmp_path / "meminfo").unlink()
    assert memory._linux_available() is None
