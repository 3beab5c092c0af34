"""Weights of the user's own: imported in the panel, chosen in the effect, gone again."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from MedSAMSegmentLib.paths import MODEL_FOLDER_VARIABLE
from MedSAMSegmentLib.registry import get
from MedSAMSegmentLib.ui.panel.models_section import ModelsSection
from MedSAMSegmentLib.ui.worker_settings import model_store, worker_environment

from . import needs_weights, scenario
from .phantom import Phantom
from .suite import another_model_folder
from .user import wait_until
from .workspace import Workspace

NAME = "my lungs.pth"
MODEL = "own-my_lungs.pth"
PHANTOM = Phantom()


@needs_weights
@scenario
def weights_of_the_users_own_are_imported_and_used() -> None:
    published = model_store().path(get("lite_medsam"))
    with tempfile.TemporaryDirectory() as folder, another_model_folder(Path(folder) / "models"):
        assert worker_environment()[MODEL_FOLDER_VARIABLE] == str(Path(folder) / "models"), "not the user's own folder"
        mine = altered_copy(published, Path(folder) / NAME)
        section = ModelsSection(lambda link: None)
        workspace = a_workspace()
        try:
            run_job(section, lambda: section.import_path(str(mine)))
            assert section.status.text == "Imported as my_lungs (own, LiteMedSAM).", section.status.text

            run_with(MODEL, workspace)
            run_job(section, lambda: section.jobs.start("remove", MODEL))
            assert section.status.text == "Done."
            workspace.parts.frame.choices.update_models()
            assert workspace.parts.frame.choices.model.currentText == f"{MODEL} (missing)"
            assert "not in the model folder" in workspace.parts.frame.choices.model_state.text
        finally:
            section.cleanup()
            end_worker(workspace)


def a_workspace() -> Workspace:
    """A workspace without a worker: one that an earlier scenario left knows the other folder."""
    workspace = Workspace(PHANTOM.node())
    end_worker(workspace)
    return workspace


def end_worker(workspace: Workspace) -> None:
    workspace.parts.service.shutdown()
    workspace.runs.requests.forget_session()


def run_with(model: str, workspace: Workspace) -> None:
    """Segment two slices of a ball with a model that the effect's list offers."""
    choices = workspace.parts.frame.choices
    choices.update_models()
    workspace.set(model=model, range_rule="slices", first=8, last=9, intensity="none")
    assert choices.model.currentText == "my_lungs (own, LiteMedSAM)"
    assert "ready" in choices.model_state.text
    workspace.draw_box(PHANTOM)
    workspace.propagate()
    workspace.wait()
    assert workspace.runs.last_error is None, workspace.status
    found, ball = workspace.mask(), PHANTOM.ball(0)
    assert 2 * (found & ball)[8:10].sum() / (found[8:10].sum() + ball[8:10].sum()) > 0.8


def altered_copy(published: Path, copy: Path) -> Path:
    """The same tensors in a file with another hash: one more file in the archive, which nobody reads."""
    copy.write_bytes(published.read_bytes())
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/note", b"mine")
    return copy


def run_job(section: ModelsSection, start: Callable[[], None]) -> None:
    start()
    wait_until(lambda: not section.jobs.busy, "end of the job")
