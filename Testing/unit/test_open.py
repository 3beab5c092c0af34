"""From a name, a file or a loaded model, and an array, to a session."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_sam import CPU, toy_sam

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import InputError, ModelError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference import open as opening
from MedSAMSegmentLib.inference.open import load_predictor, open_session, options_for_mode
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.models.builders import build

SHAPE = (3, 8, 10)
VOLUME = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.fixture(scope="module")
def predictor() -> SlicePredictor:
    entry = dataclasses.replace(registry.get("lite_medsam"), input_size=64)
    rough = dataclasses.replace(CPU, dtype=torch.bfloat16)
    return SlicePredictor(toy_sam(), entry, rough)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with weights of LiteMedSAM, of no use."""
    entry = registry.get("lite_medsam")
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    state = build(entry.builder, **entry.builder_options).state_dict()
    torch.save({name: torch.full_like(value, number % 7) for number, (name, value) in enumerate(state.items())}, path)
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointStore:
    monkeypatch.setenv("MEDSAM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDSAM_ENGINE", raising=False)
    return CheckpointStore(tmp_path / "models")


def test_a_volume_is_opened_as_it_is_asked_for(predictor: SlicePredictor) -> None:
    session = open_session(
        predictor, VOLUME, (3.0, 2.0, 1.0), window=(0, 100), cache_bytes=7, time_series=True, keep_speckle=True
    )
    assert session.predictor is predictor
    assert session.device == predictor.title
    assert (session.shape_zyx, session.geometry.spacing_zyx) == (SHAPE, (3.0, 2.0, 1.0))
    assert np.array_equal(session.volume.volume_u8, to_uint8(VOLUME, (0, 100)).volume_u8)
    assert session.cache.limit_bytes == 7
    assert (session.time_series, session.keep_speckle, session.reference) == (True, True, False)


def test_by_default_a_cache_holds_a_hundred_slices_and_nothing_is_special(predictor: SlicePredictor) -> None:
    session = open_session(predictor, VOLUME)
    assert session.cache.limit_bytes == 400 * 1024 * 1024
    assert (session.time_series, session.keep_speckle, session.reference) == (False, False, False)
    assert session.geometry.spacing_zyx == (1.0, 1.0, 1.0)


def test_what_is_windowed_is_taken_as_it_is_and_an_oblique_grid_too(predictor: SlicePredictor) -> None:
    windowed = to_uint8(VOLUME, (0, 100))
    grid = VolumeGeometry.from_spacing(SHAPE, (9.0, 1.0, 1.0))
    session = open_session(predictor, windowed, geometry=grid)
    assert session.volume is windowed
    assert session.geometry is grid


def test_the_modality_chooses_the_window(predictor: SlicePredictor) -> None:
    session = open_session(predictor, VOLUME, modality="CT")
    expected = to_uint8(VOLUME, "auto", modality="CT")
    assert session.volume.description == expected.description
    assert session.volume.description != open_session(predictor, VOLUME, modality="MR").volume.description


def test_the_reference_is_torch_in_float32_and_the_official_window(predictor: SlicePredictor) -> None:
    session = open_session(predictor, VOLUME, mode="reference")
    assert session.reference
    assert session.device == "cpu float32, torch"
    expected = to_uint8(VOLUME, "auto", reference=True)
    assert np.array_equal(session.volume.volume_u8, expected.volume_u8)
    assert options_for_mode("reference", "openvino", "bfloat16") == ("torch", "float32")
    assert options_for_mode("default", "openvino", "bfloat16") == ("openvino", "bfloat16")


@pytest.mark.parametrize("shape", [(8, 10), (2, 8, 10, 4), (2, 8, 10, 1), (1, 2, 8, 10, 3)])
def test_an_array_is_a_volume_grey_or_of_three_colours(predictor: SlicePredictor, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="The array has the shape"):
        open_session(predictor, np.zeros(shape, dtype=np.uint8))


def test_colours_are_taken(predictor: SlicePredictor) -> None:
    session = open_session(predictor, np.zeros((*SHAPE, 3), dtype=np.uint8))
    assert session.shape_zyx == SHAPE


def test_a_grid_of_another_shape_and_an_unknown_mode_are_refused(predictor: SlicePredictor) -> None:
    with pytest.raises(InputError, match="The geometry is for"):
        open_session(predictor, VOLUME, geometry=VolumeGeometry.from_spacing((3, 8, 11)))
    with pytest.raises(UsageError, match="'fast' is not known"):
        open_session(predictor, VOLUME, mode="fast")


def test_a_named_model_is_loaded_as_the_session_s_options_say(
    predictor: SlicePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr(opening, "load_predictor", lambda model, **options: asked.append((model, options)) or predictor)
    given = {"weights": "mine.pth", "device": "cpu", "download": True, "store": SimpleNamespace()}
    open_session("medsam", VOLUME, precision="bfloat16", engine="openvino", **given)  # type: ignore[arg-type]
    open_session(None, VOLUME, mode="reference")
    assert asked == [
        ("medsam", {**given, "precision": "bfloat16", "engine": "openvino"}),
        (
            None,
            {
                "weights": None,
                "device": "auto",
                "download": False,
                "store": None,
                "precision": "float32",
                "engine": "torch",
            },
        ),
    ]


def test_a_file_of_the_user_s_is_recognised_and_told(weights: Path, store: CheckpointStore) -> None:
    found = load_predictor(weights=weights, device="cpu", engine="torch", store=store)
    assert found.entry.id == "lite_medsam"
    assert found.weights_note.startswith("mine.pth was taken for LiteMedSAM, by ")
    assert found.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert found.device.reason == "asked for; torch: asked for"
    assert found.title == "cpu float32, torch"
    assert not found.module.training
    saved = torch.load(weights, weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in found.module.state_dict().items())


def test_a_file_for_a_named_model_needs_no_note(weights: Path, store: CheckpointStore) -> None:
    found = load_predictor(
        "lite_medsam", weights=weights, device="cpu", precision="bfloat16", engine="torch", store=store
    )
    assert (found.entry.id, found.weights_note, found.title) == ("lite_medsam", "", "cpu bfloat16, torch")


def test_the_engine_is_chosen_for_the_slices_and_the_precision_that_were_asked_for(
    weights: Path, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAMSegmentLib.inference.engines import choose

    asked: list[tuple[object, dict[str, object]]] = []
    honest = choose.choose_engine

    def choose_engine(encoder: choose.Encoder, wanted: str, **options: object) -> choose.EngineChoice:
        asked.append((wanted, options))
        assert encoder.files.folder == store.derived_folder
        return honest(encoder, "torch")

    monkeypatch.setattr(choose, "choose_engine", choose_engine)
    # Of weights that are not the published ones nothing is known in bfloat16.
    load_predictor("lite_medsam", weights=weights, device="cpu", store=store, slices=9)
    published = str(registry.get("lite_medsam").sha256)
    monkeypatch.setattr(opening, "_sha256", lambda path, entry, where: published)
    for precision in ("auto", "float32"):
        load_predictor("lite_medsam", weights=weights, device="cpu", precision=precision, store=store, slices=9)
    assert asked == [
        ("auto", {"free_precision": False, "slices": 9}),
        ("auto", {"free_precision": True, "slices": 9}),
        ("auto", {"free_precision": False, "slices": 9}),
    ]


def test_without_a_file_the_store_is_asked_and_downloads_only_when_told(
    weights: Path, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError):
        load_predictor(store=store, device="cpu")
    pulled: list[str] = []
    monkeypatch.setattr(store, "pull", lambda entry: pulled.append(entry.id) or weights)
    found = load_predictor(store=store, device="cpu", engine="torch", download=True)
    assert pulled == ["lite_medsam"]
    assert found.entry.id == "lite_medsam"


def test_the_store_s_record_tells_the_hash_of_its_own_file_alone(weights: Path, store: CheckpointStore) -> None:
    entry = registry.get("lite_medsam")
    recorded = SimpleNamespace(path=lambda entry: weights, record=lambda entry: SimpleNamespace(sha256="recorded"))
    assert opening._sha256(weights, entry, recorded) == "recorded"  # type: ignore[arg-type]
    honest = hashlib.sha256(weights.read_bytes()).hexdigest()
    elsewhere = SimpleNamespace(path=lambda entry: Path("elsewhere"), record=recorded.record)
    unknown = SimpleNamespace(path=recorded.path, record=lambda entry: None)
    for other in (elsewhere, unknown):
        assert opening._sha256(weights, entry, other) == honest  # type: ignore[arg-type]
