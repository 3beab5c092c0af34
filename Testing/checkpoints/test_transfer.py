"""The small parts of fetching: digests, sizes that can be, what is kept of a broken download, reports of keys."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoint_toys import CONTENT, entry_at

from MedSAMSegmentLib.checkpoints.key_report import key_report
from MedSAMSegmentLib.checkpoints.records import FileRecord, new_record, read_record, record_path, write_record
from MedSAMSegmentLib.checkpoints.remedies import all_sources_failed, manual_download
from MedSAMSegmentLib.checkpoints.resume import bytes_of, digester_of, store_etag, stored_etag
from MedSAMSegmentLib.checkpoints.transfer import (
    Digester,
    FileDigest,
    digest_file,
    digest_mismatch,
    looks_like_html,
    megabytes,
    plausible_bytes,
    storage_error,
)
from MedSAMSegmentLib.errors import Cancelled, DownloadError
from MedSAMSegmentLib.registry import Source

SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
ENTRY = entry_at("https://example.org/toy.pth")
ADDRESS = "https://example.org/toy.pth"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "toy.pth.part"
    path.write_bytes(CONTENT)
    return path


def test_a_file_has_the_digest_of_its_bytes(part: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    assert digest_file(part, lambda *step: steps.append(step)) == FileDigest(len(CONTENT), SHA256, MD5)
    assert len(steps) > 1
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    with pytest.raises(Cancelled):
        digest_file(part, cancel=lambda: True)


def test_a_digester_goes_on_from_what_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(CONTENT[:700_000])
    digester = digester_of(path, 700_000)
    digester.update(CONTENT[700_000:])
    assert digester.digest() == FileDigest(len(CONTENT), SHA256, MD5)
    assert digester_of(path, 0).size == 0
    assert digester_of(tmp_path / "nothing", 0).digest() == Digester().digest()


@pytest.mark.parametrize(
    ("known", "digest", "words"),
    [
        ({}, FileDigest(len(CONTENT), SHA256, MD5), ""),
        ({}, FileDigest(len(CONTENT), "0" * 64, MD5), "its SHA-256 is"),
        ({}, FileDigest(len(CONTENT), SHA256, "0" * 32), ""),
        ({"sha256": None, "md5": MD5}, FileDigest(len(CONTENT), "0" * 64, MD5), ""),
        ({"sha256": None, "md5": MD5}, FileDigest(len(CONTENT), "0" * 64, "0" * 32), "its MD5 is"),
        ({"sha256": None}, FileDigest(len(CONTENT) + 1, "0" * 64, MD5), "bytes, expected"),
        ({"sha256": None, "size_bytes": None}, FileDigest(749_999, "0" * 64, MD5), "which cannot be"),
        ({"sha256": None, "size_bytes": None}, FileDigest(750_000, "0" * 64, MD5), ""),
    ],
)
def test_what_is_known_of_a_file_is_held_against_it(known: dict, digest: FileDigest, words: str) -> None:
    found = digest_mismatch(replace(ENTRY, **known), digest)
    assert words in found
    assert bool(found) == bool(words)


def test_weights_have_two_to_thirty_two_bytes_a_parameter_and_some() -> None:
    assert plausible_bytes(replace(ENTRY, parameters=1000)) == (2000, 32_000 + (64 << 20))


def test_sizes_are_said_in_decimal_units() -> None:
    assert [megabytes(size) for size in (999_999, 1_000_000, 39_370_479)] == ["1000 kB", "1 MB", "39 MB"]
    assert megabytes(1500) == "2 kB"


@pytest.mark.parametrize(
    ("head", "is_page"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\xef\xbb\xbf\r\n <html>", True),
        (b"<?xml version", True),
        (b"<HEAD>", True),
        (b"PK\x03\x04", False),
        (b"text <html>", False),
        (b"", False),
    ],
)
def test_a_web_page_is_known_by_how_it_begins(head: bytes, is_page: bool) -> None:
    assert looks_like_html(head) is is_page


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_how_much_to_free(number: int, tmp_path: Path) -> None:
    found = storage_error(tmp_path, OSError(number, os.strerror(number)), ENTRY)
    assert "disk is full" in found.message
    assert "Free 2 MB" in found.cure
    assert "OSError" in found.detail
    denied = storage_error(tmp_path, OSError(errno.EACCES, "Permission denied"), ENTRY)
    assert "cannot be written (Permission denied)" in denied.message
    assert "write permission" in denied.cure


def test_a_part_is_resumed_from_the_address_and_file_that_it_is_of(part: Path) -> None:
    assert stored_etag(part, ADDRESS) == ""
    store_etag(part, ADDRESS, '"v1"')
    assert part.read_bytes() == b"", "old bytes never meet the new ETag"
    assert stored_etag(part, ADDRESS) == '"v1"'
    assert stored_etag(part, ADDRESS + "2") == ""
    store_etag(part, ADDRESS, 'W/"v1"')
    assert stored_etag(part, ADDRESS) == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"etag": "x"}', "\x00"])
def test_a_note_that_cannot_be_read_resumes_nothing(part: Path, text: str) -> None:
    part.with_name(part.name + ".json").write_text(text)
    assert stored_etag(part, ADDRESS) == ""


def test_a_file_that_is_not_there_has_no_bytes(part: Path, tmp_path: Path) -> None:
    assert (bytes_of(part), bytes_of(tmp_path / "nothing")) == (len(CONTENT), 0)


def test_a_record_matches_until_size_or_time_changes(part: Path) -> None:
    record = new_record(
        part.stat().st_mtime_ns, FileDigest(len(CONTENT), SHA256, MD5), ADDRESS, trusted_on_first_use=True
    )
    write_record(part, record)
    assert read_record(part) == record
    assert record == FileRecord(len(CONTENT), part.stat().st_mtime_ns, SHA256, MD5, ADDRESS, True)
    assert record.matches(part)
    os.utime(part, ns=(1, record.mtime_ns + 1))
    assert not record.matches(part)
    part.write_bytes(CONTENT[:-1])
    os.utime(part, ns=(1, record.mtime_ns))
    assert not record.matches(part)


@pytest.mark.parametrize("text", [None, "", "[]", '{"size": 1}', "\x00"])
def test_a_record_that_cannot_be_read_is_none(part: Path, text: str | None) -> None:
    if text is not None:
        record_path(part).write_text(text)
    assert read_record(part) is None


def test_keys_that_differ_are_counted_and_three_are_shown() -> None:
    wanted = dict.fromkeys("abcdef", (2, 3))
    assert key_report(wanted, dict(wanted)) == ""
    assert key_report(wanted, dict.fromkeys("ef", (2, 3))) == "4 missing (a, b, c, ...)"
    assert key_report(wanted, {**wanted, "x": (1,), "y": (1,), "z": (1,)}) == "3 unexpected (x, y, z)"
    found = key_report({"a": (2, 3), "b": (1,)}, {"a": (3, 2), "c": (1,)})
    assert found == "1 missing (b); 1 unexpected (c); 1 of another shape (a (3, 2) for (2, 3))"


def test_the_way_by_hand_names_all_pages_but_no_package() -> None:
    sources = (Source("https", "https://one"), Source("package", "two"), Source("https", "https://three"))
    words = manual_download(replace(ENTRY, sources=sources))
    assert words == "By hand: fetch toy.pth from https://one or https://three, then import that file as toy."
    assert "get toy.pth" in manual_download(replace(ENTRY, sources=(Source("package", "two"),)))


def test_when_all_sources_fail_the_first_ones_cure_is_said() -> None:
    failures = [DownloadError("One.", "First.", "d1"), DownloadError("Two.", "Second."), DownloadError("3.", "", "d3")]
    found = all_sources_failed(ENTRY, failures)
    assert found.message == "One. Two. 3."
    assert found.cure.startswith("First. By hand:")
    assert found.detail == "d1\nd3"
    assert "no source" in all_sources_failed(ENTRY, []).message
