"""The folder of an unfinished training: one training at a time, and nothing left where nothing was computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from MedSAMSegmentLib.errors import Cancelled, InputError, UsageError
from MedSAMSegmentLib.training.store import INDEX
from MedSAMSegmentLib.training.work_folder import WorkFolder


@pytest.fixture
def folder(tmp_path: Path) -> WorkFolder:
    return WorkFolder.beside(tmp_path / "own.safetensors")


def compute(folder: WorkFolder) -> Path:
    """Leave in the folder what an encoding leaves; return the file."""
    folder.training.mkdir()
    index = folder.training / INDEX
    index.write_text("{}", encoding="utf-8")
    return index


def end_by(folder: WorkFolder, error: Exception, key: str = "one", *, computed: bool = False) -> None:
    """Begin a training that ends by the error."""
    with folder.held(resume=False, overwrite=False):
        folder.claim(key)
        if computed:
            compute(folder)
        raise error


def unfinished(folder: WorkFolder) -> Path:
    with pytest.raises(InputError):
        end_by(folder, InputError("failed", "try again"), computed=True)
    return folder.training / INDEX


@pytest.mark.parametrize("options", [(False, False), (True, False), (False, True)])
def test_a_second_training_is_kept_out_and_harms_nothing(folder: WorkFolder, options: tuple[bool, bool]) -> None:
    resume, overwrite = options
    with folder.held(resume=False, overwrite=False):
        index = compute(folder)
        with (
            pytest.raises(UsageError, match="is running already"),
            folder.held(resume=resume, overwrite=overwrite),
        ):
            pytest.fail("two at once")
        assert index.exists()


def test_an_error_leaves_nothing_unless_something_was_computed(folder: WorkFolder) -> None:
    with pytest.raises(InputError):
        end_by(folder, InputError("failed", "try again"))
    assert not folder.path.exists()
    assert unfinished(folder).exists()


def test_an_unfinished_one_is_resumed_or_begun_anew_when_that_is_said(folder: WorkFolder) -> None:
    index = unfinished(folder)
    with (
        pytest.raises(UsageError, match="--resume to go on with it, or --overwrite"),
        folder.held(resume=False, overwrite=False),
    ):
        pytest.fail("nothing was said")
    with folder.held(resume=True, overwrite=False):
        assert index.exists()
    with folder.held(resume=False, overwrite=True):
        assert not index.exists()


def test_a_stopped_one_can_be_resumed_however_early_it_was(folder: WorkFolder) -> None:
    with pytest.raises(Cancelled):
        end_by(folder, Cancelled())
    with folder.held(resume=True, overwrite=False):
        folder.claim("one")


def test_what_holds_nothing_is_begun_anew_without_a_word(folder: WorkFolder) -> None:
    with pytest.raises(Cancelled):
        end_by(folder, Cancelled())
    with folder.held(resume=False, overwrite=False):
        folder.claim("other")


def test_a_finished_one_is_gone(folder: WorkFolder) -> None:
    with folder.held(resume=False, overwrite=False):
        compute(folder)
        folder.clear()
    assert not folder.path.exists()
