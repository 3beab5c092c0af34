"""Weights of the user's own: kept beside the published ones, recognised by their tensors, refused when none fits."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from make_fingerprints import shapes_of

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.custom_import import import_any
from MedSAMSegmentLib.checkpoints.custom_models import CustomModels, custom_name, find_entry, is_custom
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.checkpoints.transfer import digest_file
from MedSAMSegmentLib.errors import Cancelled, CheckpointError, MedSAMError

EFFICIENT = registry.get("efficient_medsam2_tiny")


def save(path: Path, *, seed: float = 0.0, **changes: Any) -> Path:
    """A file with the tensors of EfficientTAM tiny, all of one value, in half precision."""
    tensors = {key: torch.full(shape, seed, dtype=torch.float16) for key, shape in shapes_of(EFFICIENT).items()}
    torch.save(tensors | changes, path)
    return path


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    return save(tmp_path / "my lungs (v2).pth")


@pytest.fixture
def own(a_store: CheckpointStore) -> CustomModels:
    return CustomModels(a_store)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("lungs.pt", "own-lungs.pt"),
        ("my lungs (v2).PTH", "own-my_lungs_v2.pth"),
        ("../../etc/passwd", "own-passwd.pth"),
        ("C:\\weights\\liver.safetensors", "own-liver.safetensors"),
        ("..", "own-weights.pth"),
        ("Lunge-Größe.pt", "own-Lunge-Gr_e.pt"),
        ("a.model.json", "own-a.model.json.pth"),
        ("<b>x</b>.pt", "own-b.pt"),
        ("x" * 300 + ".pt", "own-" + "x" * 60 + ".pt"),
    ],
)
def test_a_name_is_made_of_plain_characters_and_is_no_path(name: str, kept: str) -> None:
    assert custom_name(name) == kept
    assert is_custom(kept)


def test_registry_ids_and_paths_are_not_own() -> None:
    assert not any(is_custom(entry.id) for entry in registry.entries())
    assert not any(is_custom(text) for text in ("own-", "own-/x", "own-../x", "x/own-a", "own-a\n"))


def test_a_file_is_kept_with_what_it_is(a_store: CheckpointStore, own: CustomModels, a_file: Path) -> None:
    model = own.keep(a_file)
    assert (model.id, model.title, model.network) == ("own-my_lungs_v2.pth", "my_lungs_v2", EFFICIENT.id)
    assert model.entry.title == "my_lungs_v2 (own, Efficient MedSAM2 tiny)"
    assert (model.sha256, model.size) == (digest_file(a_file).sha256, a_file.stat().st_size)
    assert own.all() == [model]
    assert a_store.state(model.entry) == "ready"
    assert own.require(model).read_bytes() == a_file.read_bytes()
    description = json.loads((a_store.folder / "own-my_lungs_v2.pth.model.json").read_text())
    assert description == {
        "title": "my_lungs_v2",
        "network": EFFICIENT.id,
        "sha256": model.sha256,
        "size": model.size,
    }


def test_published_and_own_models_are_found_by_their_ids(
    a_store: CheckpointStore, own: CustomModels, a_file: Path
) -> None:
    model = own.keep(a_file)
    assert find_entry(model.id, a_store) == model.entry
    assert find_entry(EFFICIENT.id, a_store) is EFFICIENT
    for unknown in ("own-nothing.pth", "nothing"):
        with pytest.raises(MedSAMError):
            find_entry(unknown, a_store)


def test_the_model_that_it_was_meant_for_is_taken_where_the_tensors_allow_it(own: CustomModels, a_file: Path) -> None:
    assert own.keep(a_file, wanted=registry.get("efficienttam_ti")).network == "efficienttam_ti"
    assert own.keep(a_file, wanted=registry.get("lite_medsam")).network == EFFICIENT.id


def test_another_file_of_the_same_name_does_not_replace_the_first(own: CustomModels, a_file: Path) -> None:
    first = own.keep(a_file)
    second = own.keep(save(a_file, seed=1.0))
    assert second.id == f"own-my_lungs_v2-{second.sha256[:8]}.pth"
    assert own.keep(a_file) == second, "the same file again is the same model"
    assert {model.id for model in own.all()} == {first.id, second.id}
    assert digest_file(own.require(first)).sha256 == first.sha256


def test_what_fits_no_network_is_refused_with_the_nearest(
    a_store: CheckpointStore, own: CustomModels, a_file: Path
) -> None:
    save(a_file, extra=torch.zeros(3))
    with pytest.raises(CheckpointError, match="belong to no known model") as caught:
        own.keep(a_file)
    assert "The nearest is Efficient MedSAM2 tiny" in caught.value.cure
    assert own.all() == []
    assert not a_store.folder.exists() or not list(a_store.folder.glob("own-*.pth"))


def test_a_file_whose_size_no_weights_have_is_refused(own: CustomModels, tmp_path: Path) -> None:
    path = tmp_path / "eight_bits.pth"
    torch.save(
        {key: torch.zeros(shape, dtype=torch.float8_e4m3fn) for key, shape in shapes_of(EFFICIENT).items()}, path
    )
    with pytest.raises(CheckpointError, match="weights of Efficient MedSAM2 tiny have 36 MB to"):
        own.keep(path)


def test_what_holds_more_than_tensors_is_refused_and_not_run(own: CustomModels, tmp_path: Path) -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "hacked"),))

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        own.keep(path)
    assert not (tmp_path / "hacked").exists()


def test_a_cancelled_import_leaves_nothing(a_store: CheckpointStore, own: CustomModels, a_file: Path) -> None:
    asked = iter([False] * 60)
    with pytest.raises(Cancelled):
        own.keep(a_file, cancel=lambda: next(asked, True))
    assert own.all() == []
    assert [p.name for p in a_store.folder.glob("own-*") if p.suffix != ".lock"] == []


def test_a_file_that_was_changed_is_refused_at_its_next_use(
    a_store: CheckpointStore, own: CustomModels, a_file: Path
) -> None:
    model = own.keep(a_file)
    path = a_store.path(model.entry)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        own.require(model)
    assert "import its file again" in caught.value.cure


def test_removing_takes_file_description_and_what_was_derived(
    a_store: CheckpointStore, own: CustomModels, a_file: Path
) -> None:
    model = own.keep(a_file)
    derived = a_store.derived_folder / f"{EFFICIENT.id}.{model.sha256[:12]}.v1.xml"
    of_another = a_store.derived_folder / f"{EFFICIENT.id}.{'0' * 12}.v1.xml"
    a_store.derived_folder.mkdir(parents=True)
    for path in (derived, of_another):
        path.touch()
    own.remove(model.id)
    assert own.all() == []
    assert [p.name for p in a_store.folder.glob("own-*") if p.name != "own-models.lock"] == []
    assert (derived.exists(), of_another.exists()) == (False, True)
    with pytest.raises(CheckpointError, match="not in the model folder"):
        own.get(model.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "no_such_model"},
        {"sha256": "abc"},
        {"size": 0},
        {"size": "many"},
        {"title": "a\nb"},
        {"title": None, "network": None},
    ],
)
def test_a_description_that_cannot_be_is_passed_over(
    a_store: CheckpointStore, own: CustomModels, changes: dict[str, Any]
) -> None:
    a_store.folder.mkdir()
    fields = {"title": "a", "network": "medsam2", "sha256": "0" * 64, "size": 5}
    path = a_store.folder / "own-a.pth.model.json"
    path.write_text(json.dumps(fields))
    assert [model.id for model in own.all()] == ["own-a.pth"]
    path.write_text(json.dumps(fields | changes))
    assert own.all() == []
    path.write_text("[1, 2")
    assert own.all() == []


def test_a_description_names_no_place(a_store: CheckpointStore, own: CustomModels) -> None:
    a_store.folder.mkdir()
    fields = {
        "title": "a",
        "network": "medsam2",
        "sha256": "0" * 64,
        "size": 5,
        "id": "../x",
        "file_name": "/etc/passwd",
    }
    (a_store.folder / "own-a.pth.model.json").write_text(json.dumps(fields))
    assert a_store.path(own.all()[0].entry) == a_store.folder / "own-a.pth"


# --- any file ------------------------------------------------------------------------------------------------------


def test_a_published_file_goes_where_it_belongs_whatever_its_name(
    a_store: CheckpointStore, lite_checkpoint: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "whatever.pth"
    renamed.write_bytes(lite_checkpoint.read_bytes())
    assert import_any(a_store, renamed, wanted=registry.get("medsam2")).id == "lite_medsam"
    assert a_store.state(registry.get("lite_medsam")) == "ready"
    assert CustomModels(a_store).all() == []


def test_a_published_file_that_was_altered_is_a_model_of_its_own(
    a_store: CheckpointStore, lite_checkpoint: Path, tmp_path: Path
) -> None:
    altered = tmp_path / "lite_medsam.pth"
    altered.write_bytes(lite_checkpoint.read_bytes())
    with zipfile.ZipFile(altered, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/note", b"mine")
    entry = import_any(a_store, altered, wanted=registry.get("lite_medsam"))
    assert entry.title == "lite_medsam (own, LiteMedSAM)"
    assert a_store.state(registry.get("lite_medsam")) == "missing"


def test_a_published_file_without_a_stated_hash_is_known_by_its_name(a_store: CheckpointStore, tmp_path: Path) -> None:
    path = save(tmp_path / EFFICIENT.file_name)
    assert import_any(a_store, path).id == EFFICIENT.id
    other = path.rename(tmp_path / "mine.pt")
    assert import_any(a_store, other).id == "own-mine.pt"


def test_a_file_that_cannot_be_read_is_a_sentence(a_store: CheckpointStore, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_any(a_store, tmp_path / "missing.pth")
