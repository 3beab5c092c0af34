"""What the worker's session host asks of the library, with the library's own functions replaced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.checkpoints.custom_models import CustomModel
from MedSAMSegmentLib.errors import CheckpointError
from MedSAMSegmentLib.inference import open as library
from MedSAMSegmentLib.worker.arriving_volume import ArrivingVolume
from MedSAMSegmentLib.worker.protocol import CloseVolume, OpenVolume, Prepare, VolumePart
from MedSAMSegmentLib.worker.session_host import LibrarySessions, SessionHost

VOLUME = np.zeros((4, 6, 5), np.int16)


class Calls:
    """Records how models are loaded and volumes opened."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[dict[str, Any]] = []

    def load_predictor(self, model: str, **options: Any) -> str:
        self.loaded.append((model, options))
        return f"predictor of {model}"

    def open_session(self, predictor: str, volume: Any, spacing: Any, **options: Any) -> str:
        self.opened.append(options)
        return "session"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    found = Calls()
    monkeypatch.setattr(library, "load_predictor", found.load_predictor)
    monkeypatch.setattr(library, "open_session", found.open_session)
    return found


def ask(sessions: LibrarySessions, model: str = "medsam2", **options: Any) -> None:
    arriving = ArrivingVolume(VOLUME.shape, VOLUME.dtype)
    arriving.add(VolumePart(1, VOLUME.shape, (0, 0, 0), VOLUME))
    sessions(OpenVolume(1, model, VOLUME.shape, "int16", options=options), arriving, lambda stage: None)


def test_frames_in_time_are_opened_as_a_time_series(calls: Calls) -> None:
    sessions = LibrarySessions()
    ask(sessions, device="cpu", time_series=True, window=[0.0, 9.0])
    assert calls.opened == [{"time_series": True, "window": (0.0, 9.0)}]
    ask(sessions, device="cpu", time_series=False)
    assert calls.opened[-1] == {"time_series": False}
    assert calls.loaded == [("medsam2", {"device": "cpu"})], "the model is loaded once for both"


def a_custom_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> CustomModel:
    """Described and present, but of zeros alone: what is in it is the library's business, which is replaced here."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(folder))
    content = bytes(20_000_000)
    model = CustomModel("own-mine.pth", "mine", "lite_medsam", hashlib.sha256(content).hexdigest(), len(content))
    (folder / model.id).write_bytes(content)
    fields = {"title": model.title, "network": model.network, "sha256": model.sha256, "size": model.size}
    (folder / f"{model.id}.model.json").write_text(json.dumps(fields))
    return model


def test_weights_of_the_users_own_are_opened_with_the_network_that_they_fit(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = a_custom_model(tmp_path, monkeypatch)
    ask(LibrarySessions(), model.id, device="cpu")
    assert calls.loaded == [(model.network, {"device": "cpu", "weights": tmp_path / model.id})]


def test_weights_of_the_users_own_that_were_changed_are_refused_before_they_are_opened(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = a_custom_model(tmp_path, monkeypatch)
    (tmp_path / model.id).write_bytes(b"x" + bytes(model.size - 1))
    with pytest.raises(CheckpointError, match="its SHA-256 is"):
        ask(LibrarySessions(), model.id)
    assert calls.loaded == []


def test_a_model_that_is_not_here_is_a_sentence(calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"own-gone\.pth is not in the model folder"):
        ask(LibrarySessions(), "own-gone.pth")


def test_a_file_of_weights_is_a_path(calls: Calls) -> None:
    ask(LibrarySessions(), weights="/some/file.pth")
    assert calls.loaded == [("medsam2", {"weights": Path("/some/file.pth")})]


def test_a_host_imports_torch_ahead_once_and_not_after_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[int] = []
    monkeypatch.setattr(LibrarySessions, "warm_up", lambda self: warmed.append(1))
    host = SessionHost()
    assert host.has_idle_work
    host.do_idle_work()
    assert not host.has_idle_work
    assert warmed == [1]
    asked = SessionHost()
    asked.answer(CloseVolume(1), lambda *_: None, lambda: False)
    assert not asked.has_idle_work


def test_a_prepared_model_serves_the_volume_that_is_opened_with_it(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LibrarySessions, "warm_up", lambda self: None)
    sessions = LibrarySessions()
    sessions.load("medsam2", {"device": "cpu"}, lambda stage: None)
    ask(sessions, device="cpu", window=[0.0, 9.0])
    assert calls.loaded == [("medsam2", {"device": "cpu"})]
    host = SessionHost()
    assert host.answer(Prepare("medsam2", {"device": "cpu"}), lambda *_: None, lambda: False) == ({}, {})
    assert len(calls.loaded) == 2
    assert not host.has_idle_work, "torch is there with the model"
