"""What is in the model folder: states, records, import, verify, remove."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from checkpoint_toys import CONTENT, entry_at
from loopback_server import Behaviour, serve

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints import store as store_module
from MedSAMSegmentLib.checkpoints.records import record_path
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.commands.opening import fetch_weights
from MedSAMSegmentLib.errors import Cancelled, CheckpointError, DownloadError
from MedSAMSegmentLib.paths import model_folder
from MedSAMSegmentLib.registry import Source

ENTRY = entry_at("https://weights.invalid/toy.pth")
ALTERED = b"x" + CONTENT[1:]


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "from a colleague.pth"
    path.write_bytes(CONTENT)
    return path


def test_the_folder_follows_the_environment_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore()
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "one"))
    assert store.path(ENTRY) == tmp_path / "one" / "toy.pth"
    monkeypatch.setenv("MEDSAM_MODEL_DIR", "~/two")
    assert store.folder == Path.home() / "two"
    monkeypatch.setenv("MEDSAM_MODEL_DIR", " ")
    assert model_folder().name == "models"
    assert "MedSAMSegment" in model_folder().parts


def test_an_imported_file_is_ready_and_its_hash_is_told(a_store: CheckpointStore, a_file: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    record = a_store.import_file(ENTRY, a_file, progress=lambda done, total: steps.append((done, total)))
    assert record.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert record.origin == "imported from from a colleague.pth"
    assert not record.trusted_on_first_use
    assert a_store.path(ENTRY).read_bytes() == CONTENT
    assert a_store.state(ENTRY) == "ready"
    assert a_store.require(ENTRY) == a_store.path(ENTRY)
    assert a_store.pull(ENTRY) == a_store.path(ENTRY)
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert a_file.exists()


def test_an_import_with_another_hash_names_both_and_keeps_what_was_there(
    a_store: CheckpointStore, a_file: Path
) -> None:
    a_store.import_file(ENTRY, a_file)
    a_file.write_bytes(ALTERED)
    with pytest.raises(CheckpointError) as caught:
        a_store.import_file(ENTRY, a_file)
    assert hashlib.sha256(ALTERED).hexdigest() in caught.value.message
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.message
    assert a_store.path(ENTRY).read_bytes() == CONTENT
    assert not list(a_store.folder.glob("*.part*"))


def test_an_import_without_a_known_hash_is_trusted_on_first_use_but_never_absurd(
    a_store: CheckpointStore, a_file: Path
) -> None:
    unknown = entry_at("", sha256=None, size_bytes=None)
    assert a_store.import_file(unknown, a_file).trusted_on_first_use
    a_file.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="it has 2 bytes, which cannot be"):
        a_store.import_file(unknown, a_file)


def test_an_import_can_be_cancelled(a_store: CheckpointStore, a_file: Path) -> None:
    with pytest.raises(Cancelled):
        a_store.import_file(ENTRY, a_file, cancel=lambda: True)
    assert a_store.state(ENTRY) == "missing"


def test_importing_a_file_that_is_not_there_says_so(a_store: CheckpointStore, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pth cannot be read"):
        a_store.import_file(ENTRY, tmp_path / "absent.pth")


def test_a_disk_that_fills_up_during_an_import_is_named(
    a_store: CheckpointStore, a_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module, "copy_with_digest", full)
    with pytest.raises(DownloadError, match="disk is full"):
        a_store.import_file(ENTRY, a_file)
    assert a_store.state(ENTRY) == "missing"


def test_a_file_placed_by_hand_is_verified_once(a_store: CheckpointStore) -> None:
    a_store.folder.mkdir()
    a_store.path(ENTRY).write_bytes(CONTENT)
    assert a_store.state(ENTRY) == "unverified"
    assert a_store.require(ENTRY) == a_store.path(ENTRY)
    assert a_store.state(ENTRY) == "ready"


def test_a_ready_file_is_not_hashed_again(
    a_store: CheckpointStore, a_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_store.import_file(ENTRY, a_file)

    def hashed(*_: object) -> None:
        raise AssertionError("the file was hashed")

    monkeypatch.setattr(store_module, "digest_file", hashed)
    assert a_store.require(ENTRY) == a_store.pull(ENTRY) == a_store.path(ENTRY)


def test_a_file_altered_on_disk_is_found_and_named(a_store: CheckpointStore, a_file: Path) -> None:
    a_store.import_file(ENTRY, a_file)
    a_store.path(ENTRY).write_bytes(ALTERED)
    os.utime(a_store.path(ENTRY), ns=(1, 1))
    assert a_store.state(ENTRY) == "unverified"
    with pytest.raises(CheckpointError) as caught:
        a_store.require(ENTRY)
    assert hashlib.sha256(ALTERED).hexdigest() in caught.value.message
    assert "models remove toy" in caught.value.cure


def test_verify_reads_the_file_even_when_size_and_time_agree(a_store: CheckpointStore, a_file: Path) -> None:
    a_store.import_file(ENTRY, a_file)
    path = a_store.path(ENTRY)
    status = path.stat()
    path.write_bytes(ALTERED)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert a_store.state(ENTRY) == "ready"
    with pytest.raises(CheckpointError, match="is damaged"):
        a_store.verify(ENTRY)


def test_a_file_changed_while_it_is_hashed_is_not_ready(a_store: CheckpointStore, a_file: Path) -> None:
    a_store.import_file(ENTRY, a_file)
    path = a_store.path(ENTRY)

    def alter(_done: int, _total: int | None) -> None:
        path.write_bytes(ALTERED)
        os.utime(path, ns=(1, 1))

    a_store.verify(ENTRY, progress=alter)
    assert a_store.state(ENTRY) == "unverified"


def test_a_file_that_vanishes_once_it_is_hashed_raises_nothing(a_store: CheckpointStore, a_file: Path) -> None:
    a_store.import_file(ENTRY, a_file)
    a_store.verify(ENTRY, progress=lambda *_: a_store.path(ENTRY).unlink(missing_ok=True))
    assert a_store.state(ENTRY) == "missing"


def test_a_file_without_a_published_hash_is_held_to_its_first_one(a_store: CheckpointStore, a_file: Path) -> None:
    unknown = entry_at("", sha256=None)
    a_store.import_file(unknown, a_file)
    a_store.path(unknown).write_bytes(ALTERED)
    with pytest.raises(CheckpointError, match="when it was first used"):
        a_store.verify(unknown)


def test_a_file_of_another_size_is_damaged_without_hashing(a_store: CheckpointStore) -> None:
    a_store.folder.mkdir()
    a_store.path(ENTRY).write_bytes(CONTENT[:-1])
    assert a_store.state(ENTRY) == "damaged"


def test_a_damaged_file_is_replaced_by_pull(a_store: CheckpointStore) -> None:
    a_store.folder.mkdir()
    with serve(Behaviour(CONTENT)) as address:
        entry = entry_at(address)
        a_store.path(entry).write_bytes(ALTERED)
        assert a_store.pull(entry).read_bytes() == CONTENT
    assert a_store.state(entry) == "ready"


def test_a_missing_file_says_which_command_fetches_it(a_store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError) as caught:
        a_store.require(ENTRY)
    assert "are not on this machine" in caught.value.message
    assert caught.value.cure == "Run: medsam-segment models pull toy"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"size": 1}', '{"other": 1}'])
def test_a_damaged_record_only_means_hashing_again(a_store: CheckpointStore, a_file: Path, text: str) -> None:
    a_store.import_file(ENTRY, a_file)
    record_path(a_store.path(ENTRY)).write_text(text)
    assert a_store.state(ENTRY) == "unverified"
    a_store.require(ENTRY)
    assert a_store.state(ENTRY) == "ready"


def test_fetching_is_announced_only_where_something_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    entry = entry_at("", sources=(Source("file", "https://drive.invalid/view"),), licence_note="Mind it.")
    monkeypatch.setattr(registry, "get", lambda model_id: entry)
    file = tmp_path / entry.file_name
    file.write_bytes(CONTENT)  # copied there by hand, so that there is no record of it
    fetch_weights("toy", quiet=False)
    assert capsys.readouterr().out == "Mind it.\n"
    assert CheckpointStore().state(entry) == "ready"
    fetch_weights("toy", quiet=False)
    assert capsys.readouterr().out == ""
    file.write_bytes(CONTENT[::-1])
    with pytest.raises(DownloadError):
        fetch_weights("toy", quiet=False)
    assert capsys.readouterr().out.startswith("Fetching the weights of Toy (2 MB, ")


def test_remove_takes_everything_of_the_model_and_nothing_else(a_store: CheckpointStore, a_file: Path) -> None:
    a_store.import_file(ENTRY, a_file)
    (a_store.folder / "toy.pth.download.part").write_bytes(b"half")
    (a_store.folder / "other.pth").write_bytes(b"other")
    assert a_store.remove(ENTRY)
    assert a_store.state(ENTRY) == "missing"
    assert [path.name for path in a_store.folder.iterdir()] == ["other.pth"]
    assert not a_store.remove(ENTRY)
    assert [path.name for path in a_store.folder.iterdir()] == ["other.pth"]


def test_a_model_with_a_page_for_people_alone_says_how_to_get_it_by_hand(a_store: CheckpointStore) -> None:
    entry = entry_at("", sources=(Source("file", "https://drive.invalid/view"),))
    with pytest.raises(DownloadError) as caught:
        a_store.pull(entry)
    assert "https://drive.invalid/view" in caught.value.cure
    assert "import that file as toy" in caught.value.cure
