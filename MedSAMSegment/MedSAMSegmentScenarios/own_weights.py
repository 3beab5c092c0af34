"""Weights of the user's own: imported in the panel, chosen in the effect, gone again."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.paths import MODEL_FOLDER_VARIABLE
from MedSAMSegmentLib.registry import get
from MedSAMSegmentLib.ui.panel.models_section import ModelsSection

from . import needs_weights, scenario
from .phantom import Phantom
from .user import wait_until
from .workspace import Workspace

NAME = "my lungs.pth"
MODEL = "own-my_lungs.pth"


@needs_weights
@scenario
def weights_of_the_users_own_are_imported_and_used() -> None:
    published = CheckpointStore().path(get("lite_medsam"))
    with tempfile.TemporaryDirectory() as folder, model_folder(Path(folder) / "models"):
        mine = altered_copy(published, Path(folder) / NAME)
        section = ModelsSection(lambda link: None)
        try:
            run_job(section, lambda: section.import_path(str(mine)))
            assert section.status.text == "Imported as my_lungs (own, LiteMedSAM).", section.status.text

            workspace = a_run_with(MODEL)
            run_job(section, lambda: section.jobs.start("remove", MODEL))
        finally:
            section.cleanup()
        assert section.status.text == "Done."
        workspace.parts.frame.choices.update_models()
        assert workspace.parts.frame.choices.model.currentText == f"{MODEL} (missing)"
        assert "not in the model folder" in workspace.parts.frame.choices.model_state.text
        # The worker of this folder ends with it.
        workspace.parts.service.shutdown()
        workspace.runs.requests.forget_session()


def a_run_with(model: str) -> Workspace:
    """Three slices of a ball, segmented with a model that the effect's list offers."""
    phantom = Phantom()
    workspace = Workspace(phantom.node())
    # A worker that an earlier scenario left knows the other folder.
    workspace.parts.service.shutdown()
    workspace.runs.requests.forget_session()
    choices = workspace.parts.frame.choices
    choices.update_models()
    workspace.set(model=model, range_rule="slices", first=7, last=9, intensity="none")
    assert choices.model.currentText == "my_lungs (own, LiteMedSAM)"
    assert "ready" in choices.model_state.text
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    assert workspace.runs.last_error is None, workspace.status
    found, ball = workspace.mask(), phantom.ball(0)
    assert 2 * (found & ball)[7:10].sum() / (found[7:10].sum() + ball[7:10].sum()) > 0.8
    return workspace


def altered_copy(published: Path, copy: Path) -> Path:
    """The same tensors in a file with another hash: one more file in the archive, which nobody reads."""
    copy.write_bytes(published.read_bytes())
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/note", b"mine")
    return copy


def run_job(section: ModelsSection, start: Callable[[], None]) -> None:
    start()
    wait_until(lambda: not section.jobs.busy, "end of the job")


@contextmanager
def model_folder(folder: Path) -> Iterator[None]:
    """Another model folder for a while."""
    before = os.environ.get(MODEL_FOLDER_VARIABLE)
    os.environ[MODEL_FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[MODEL_FOLDER_VARIABLE]
        else:
            os.environ[MODEL_FOLDER_VARIABLE] = before
