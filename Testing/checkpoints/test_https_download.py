"""Downloads against a real server on loopback that misbehaves in every way we know of."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from checkpoint_toys import CONTENT, entry_at, make_store
from loopback_server import Behaviour, serve

from MedSAMSegmentLib.checkpoints.https_source import HttpsFetcher
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.checkpoints.transfer import CHUNK_BYTES
from MedSAMSegmentLib.errors import Cancelled, DownloadError
from MedSAMSegmentLib.registry import Source


def names_in(store: CheckpointStore) -> set[str]:
    """The files in the store but for the lock."""
    return {path.name for path in store.folder.iterdir() if not path.name.endswith(".lock")}


def test_a_download_arrives_whole_and_is_recorded(a_store: CheckpointStore) -> None:
    steps: list[tuple[int, int | None]] = []
    with serve(Behaviour(CONTENT)) as address:
        entry = entry_at(address)
        assert a_store.state(entry) == "missing"
        path = a_store.pull(entry, progress=lambda done, total: steps.append((done, total)))
    assert path == a_store.folder / "toy.pth"
    assert path.read_bytes() == CONTENT
    assert a_store.state(entry) == "ready"
    assert names_in(a_store) == {"toy.pth", "toy.pth.record.json"}
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    record = a_store.record(entry)
    assert record is not None
    assert (record.sha256, record.origin, record.trusted_on_first_use) == (entry.sha256, address, False)


def test_what_is_ready_is_not_asked_for_again(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as address:
        a_store.pull(entry_at(address))
        a_store.pull(entry_at(address))
    assert len(behaviour.requests) == 1


def test_a_dropped_connection_is_resumed_where_it_broke(a_store: CheckpointStore, waits: list[float]) -> None:
    behaviour = Behaviour(CONTENT, drops=[600_000, 300_000])
    with serve(behaviour) as address:
        path = a_store.pull(entry_at(address))
    assert path.read_bytes() == CONTENT
    assert len(behaviour.requests) == 3
    starts = [int(request["Range"].removeprefix("bytes=").rstrip("-")) for request in behaviour.requests[1:]]
    # What the broken read had in hand, at most one chunk, is fetched again.
    assert 600_000 - CHUNK_BYTES < starts[0] <= 600_000
    assert starts[0] + 300_000 - CHUNK_BYTES < starts[1] <= starts[0] + 300_000
    assert behaviour.requests[1]["If-Range"] == '"v1"'
    assert waits == [1.0, 1.0]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(bytes(len(CONTENT)), drops=[600_000])
    with serve(behaviour) as address:
        entry = entry_at(address)

        def replace_file(seconds: float, cancel: object) -> None:
            behaviour.content, behaviour.etag = CONTENT, '"v2"'

        path = make_store(a_store.folder, replace_file).pull(entry)
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_the_whole_file_again(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT, drops=[600_000], ranges=False)
    with serve(behaviour) as address:
        path = a_store.pull(entry_at(address))
    assert path.read_bytes() == CONTENT
    assert behaviour.sent == 600_000 + len(CONTENT)


@pytest.mark.parametrize(
    "told", ["bytes 0-{last}/{size}", "bytes {start}0-{last}/{size}", "{start}-{last}/{size}", "bytes */{size}"]
)
def test_another_part_than_asked_for_is_not_added_to_what_is_there(a_store: CheckpointStore, told: str) -> None:
    behaviour = Behaviour(CONTENT, drops=[600_000], content_ranges=[told])
    with serve(behaviour) as address:
        assert a_store.pull(entry_at(address)).read_bytes() == CONTENT
    assert ["Range" in request for request in behaviour.requests] == [False, True, False]


def test_a_server_that_cannot_go_on_from_there_is_asked_for_the_whole_file(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT, drops=[600_000], statuses=[200, 416])
    with serve(behaviour) as address:
        assert a_store.pull(entry_at(address)).read_bytes() == CONTENT
    assert ["Range" in request for request in behaviour.requests] == [False, True, False]


def test_a_weak_etag_is_not_used_to_resume(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT, etag='W/"v1"', drops=[600_000])
    with serve(behaviour) as address:
        assert a_store.pull(entry_at(address)).read_bytes() == CONTENT
    assert "Range" not in behaviour.requests[1]


def test_a_connection_that_always_drops_ends_in_a_sentence(a_store: CheckpointStore, waits: list[float]) -> None:
    with serve(Behaviour(CONTENT, drops=[0] * 9)) as address, pytest.raises(DownloadError) as caught:
        a_store.pull(entry_at(address))
    assert "failed 3 times" in caught.value.message
    assert "HTTPS_PROXY" in caught.value.cure
    assert "import that file as toy" in caught.value.cure
    assert waits == [1.0, 2.0]
    assert not a_store.path(entry_at(address)).exists()


def test_waits_grow_between_attempts_and_a_passing_fault_is_survived(
    a_store: CheckpointStore, waits: list[float]
) -> None:
    with serve(Behaviour(CONTENT, statuses=[503, 429])) as address:
        assert a_store.pull(entry_at(address)).read_bytes() == CONTENT
    assert waits == [1.0, 2.0]


def test_an_unreachable_server_ends_in_a_sentence(a_store: CheckpointStore) -> None:
    with serve(Behaviour(CONTENT)) as address:
        pass
    with pytest.raises(DownloadError, match="could not be reached"):
        a_store.pull(entry_at(address))


@pytest.mark.parametrize(("status", "cure"), [(404, "has moved"), (403, "login"), (410, "has moved"), (418, "later")])
def test_a_refusal_is_not_tried_again(a_store: CheckpointStore, status: int, cure: str) -> None:
    behaviour = Behaviour(CONTENT, status=status)
    with serve(behaviour) as address, pytest.raises(DownloadError) as caught:
        a_store.pull(entry_at(address))
    assert str(status) in caught.value.message
    assert cure in caught.value.cure
    assert len(behaviour.requests) == 1
    assert names_in(a_store) == set()


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_instead_of_weights_is_refused(a_store: CheckpointStore, content_type: str) -> None:
    page = b"<!DOCTYPE html><html>Please log in</html>".ljust(len(CONTENT))
    with serve(Behaviour(page, content_type=content_type)) as address, pytest.raises(DownloadError) as caught:
        a_store.pull(entry_at(address))
    assert "web page instead of weights" in caught.value.message
    assert not a_store.path(entry_at(address)).exists()


def test_a_wrong_hash_deletes_the_file_and_names_both_hashes(a_store: CheckpointStore) -> None:
    altered = b"x" + CONTENT[1:]
    with serve(Behaviour(altered)) as address, pytest.raises(DownloadError) as caught:
        a_store.pull(entry_at(address))
    assert hashlib.sha256(altered).hexdigest() in caught.value.message
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.message
    assert names_in(a_store) == set()


def test_a_known_md5_is_checked_where_no_sha256_is_known(a_store: CheckpointStore) -> None:
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    with serve(Behaviour(CONTENT)) as address:
        with pytest.raises(DownloadError, match="MD5"):
            a_store.pull(entry_at(address, sha256=None, md5="0" * 32))
        assert a_store.pull(entry_at(address, sha256=None, md5=md5)).read_bytes() == CONTENT


def test_without_a_known_hash_the_first_download_is_trusted_and_recorded(a_store: CheckpointStore) -> None:
    with serve(Behaviour(CONTENT)) as address:
        entry = entry_at(address, sha256=None, size_bytes=None)
        a_store.pull(entry)
    record = a_store.record(entry)
    assert record is not None
    assert record.trusted_on_first_use
    assert record.sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("change", [-1, 1])
def test_an_announced_size_that_differs_is_refused_before_the_body(a_store: CheckpointStore, change: int) -> None:
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as address, pytest.raises(DownloadError, match=f"announces {len(CONTENT)} bytes"):
        a_store.pull(entry_at(address, size_bytes=len(CONTENT) + change))
    assert not a_store.path(entry_at(address)).exists()


def test_a_body_without_end_is_cut_off(a_store: CheckpointStore) -> None:
    endless = Behaviour(CONTENT + CONTENT, announce_length=False)
    with serve(endless) as address, pytest.raises(DownloadError, match="sent more than"):
        a_store.pull(entry_at(address))
    assert not a_store.path(entry_at(address)).exists()


def test_a_short_body_of_unknown_length_is_noticed(a_store: CheckpointStore) -> None:
    with (
        serve(Behaviour(CONTENT[:-1], announce_length=False)) as address,
        pytest.raises(DownloadError, match="SHA-256"),
    ):
        a_store.pull(entry_at(address))


def test_cancel_stops_and_the_next_pull_goes_on(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT)
    done: list[int] = []
    with serve(behaviour) as address:
        entry = entry_at(address)
        with pytest.raises(Cancelled):
            a_store.pull(entry, progress=lambda d, _: done.append(d), cancel=lambda: sum(done) > 300_000)
        assert not a_store.path(entry).exists()
        assert a_store.state(entry) == "missing"
        assert a_store.pull(entry).read_bytes() == CONTENT
    assert behaviour.requests[1]["Range"] == f"bytes={max(done)}-"


def test_a_redirect_to_what_is_no_address_is_a_sentence(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT, redirect_to="http://[")
    with serve(behaviour) as address, pytest.raises(DownloadError, match="cannot be understood"):
        a_store.pull(entry_at(address.replace("weights.pth", "moved")))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_but_never_to_plain_http_elsewhere(a_store: CheckpointStore, status: int) -> None:
    behaviour = Behaviour(CONTENT, redirect_status=status)
    with serve(behaviour) as address:
        behaviour.redirect_to = address
        moved = entry_at(address.replace("weights.pth", "moved"))
        assert a_store.pull(moved).read_bytes() == CONTENT
        a_store.remove(moved)
        behaviour.redirect_to = "http://weights.invalid/weights.pth?signature=secret"
        with pytest.raises(DownloadError, match="not an https address") as caught:
            a_store.pull(moved)
    assert "secret" not in str(caught.value)


def test_plain_http_is_refused_by_default(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, fetchers={"https": HttpsFetcher()})
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as address, pytest.raises(DownloadError, match="not an https address"):
        store.pull(entry_at(address))
    assert behaviour.requests == []


def test_the_second_source_is_used_when_the_first_fails(a_store: CheckpointStore) -> None:
    with serve(Behaviour(CONTENT, status=404)) as gone, serve(Behaviour(CONTENT)) as address:
        entry = entry_at(address, sources=(Source("https", gone), Source("https", address)))
        assert a_store.pull(entry).read_bytes() == CONTENT
    record = a_store.record(entry)
    assert record is not None
    assert record.origin == address


def test_a_partial_file_of_another_address_is_not_continued(a_store: CheckpointStore) -> None:
    first = Behaviour(bytes(len(CONTENT)), drops=[600_000] + [0] * 9)
    second = Behaviour(CONTENT)
    with serve(first) as one, serve(second) as two:
        entry = entry_at(two, sources=(Source("https", one), Source("https", two)))
        assert a_store.pull(entry).read_bytes() == CONTENT
    assert "Range" not in second.requests[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_named_and_leaves_nothing(a_store: CheckpointStore) -> None:
    a_store.folder.mkdir()
    (a_store.folder / "toy.pth.download.part").symlink_to("/dev/full")
    with serve(Behaviour(CONTENT)) as address, pytest.raises(DownloadError) as caught:
        a_store.pull(entry_at(address))
    assert "disk is full" in caught.value.message
    assert "MEDSAM_MODEL_DIR" in caught.value.cure
    assert names_in(a_store) == set()


def test_too_little_space_is_said_before_the_download(a_store: CheckpointStore) -> None:
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as address, pytest.raises(DownloadError, match=r"needs 1000000000 MB"):
        a_store.pull(entry_at(address, size_bytes=10**15))
    assert behaviour.requests == []


def test_a_model_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "models"
    blocked.write_text("not a folder")
    with pytest.raises(DownloadError, match="cannot be written"):
        make_store(blocked).pull(entry_at("https://weights.invalid/x"))


def test_a_proxy_from_the_environment_is_used(a_store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = Behaviour(CONTENT)
    with serve(behaviour) as proxy:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", proxy.rsplit("/", 1)[0])
        # Port 9 answers nobody: only by way of the proxy can the file arrive.
        assert a_store.pull(entry_at("http://127.0.0.1:9/weights.pth")).read_bytes() == CONTENT
    assert behaviour.requests[0]["Host"] == "127.0.0.1:9"
