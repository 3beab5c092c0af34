"""The table of models: complete, consistent, and honest about licences and hashes."""

from __future__ import annotations

import re

import pytest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.transfer import plausible_bytes
from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.registry import ModelEntry

EVERY = pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.id)


def test_the_whole_family_is_there() -> None:
    assert [entry.id for entry in registry.entries()] == [
        "lite_medsam",
        "medsam",
        "medsam2",
        "medsam2_2411",
        "medsam2_us_heart",
        "medsam2_mri_liver",
        "medsam2_ct_lesion",
        "medsam2_recist",
        "efficient_medsam2_tiny",
        "efficient_medsam2_small",
        "efficienttam_ti",
        "efficienttam_s",
        "sam_vit_b",
        "sam_vit_l",
        "sam_vit_h",
        "sam2.1_tiny",
        "sam2.1_small",
        "sam2.1_base_plus",
        "sam2.1_large",
    ]


def test_file_names_do_not_collide() -> None:
    names = [entry.file_name.lower() for entry in registry.entries()]
    assert len(names) == len(set(names))


@EVERY
def test_an_entry_is_complete(entry: ModelEntry) -> None:
    assert entry.title
    assert entry.good_for.endswith(".")
    assert entry.citation
    assert entry.licence in ("Apache-2.0", "CC-BY-SA-4.0")
    assert entry.sources
    assert entry.minimum_memory_mb * 1e6 > entry.expected_bytes
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.md5 is None or re.fullmatch(r"[0-9a-f]{32}", entry.md5)


@EVERY
def test_the_stated_size_holds_the_stated_numbers_as_float32(entry: ModelEntry) -> None:
    low, high = plausible_bytes(entry)
    assert low < entry.expected_bytes < high
    if entry.size_bytes is not None:
        overhead = entry.size_bytes - 4 * entry.parameters
        assert 0 < overhead < 400_000


@EVERY
def test_addresses_are_https_and_whole(entry: ModelEntry) -> None:
    for source in entry.sources:
        assert "{" not in source.address
        if source.kind == "package":
            assert re.fullmatch(r"[\w.-]+==[\w.]+", source.address)
            assert source.member
        else:
            assert source.address.startswith("https://")
        if source.kind == "https":
            assert source.address.endswith(entry.file_name)


@EVERY
def test_a_licence_with_conditions_is_told_before_the_download(entry: ModelEntry) -> None:
    if entry.licence != "Apache-2.0":
        assert "CC BY-SA 4.0" in entry.licence_note
        assert "same licence" in entry.licence_note


def test_the_recommended_medsam2_is_pinned_to_a_revision() -> None:
    (source,) = registry.get("medsam2").sources
    assert re.search(r"/resolve/[0-9a-f]{40}/MedSAM2_latest\.pt$", source.address)


def test_an_unknown_id_names_the_nearest_and_all_known() -> None:
    with pytest.raises(UsageError) as caught:
        registry.get("MedSAM-2")
    assert "There is no model named 'MedSAM-2'." in caught.value.message
    assert "Did you mean 'medsam2'?" in caught.value.cure
    assert "lite_medsam" in caught.value.cure


def test_an_entry_cannot_be_changed() -> None:
    entry = registry.get("medsam2")
    with pytest.raises(AttributeError):
        entry.sha256 = None  # type: ignore[misc]
    with pytest.raises(TypeError):
        entry.builder_options["image_size"] = 1024  # type: ignore[index]
