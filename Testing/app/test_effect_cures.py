"""What is said about a model's file names buttons of the panel, not commands of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def entry() -> Any:
    from MedSAMSegmentLib.registry import get

    return get("lite_medsam")


def through_the_worker(error: Any) -> Any:
    """The error as it arrives from another process."""
    from MedSAMSegmentLib.worker.protocol import error_fields, error_from_fields

    return error_from_fields(error_fields(error))


def test_a_missing_and_a_damaged_file_name_the_button(application: Any, tmp_path: Path, entry: Any) -> None:
    from MedSAMSegmentLib.checkpoints.store import CheckpointStore
    from MedSAMSegmentLib.errors import CheckpointError
    from MedSAMSegmentLib.ui.widgets.messages import error_html

    store = CheckpointStore(tmp_path)
    with pytest.raises(CheckpointError) as missing:
        store.require(entry)
    (tmp_path / entry.file_name).write_bytes(b"no weights")
    with pytest.raises(CheckpointError) as damaged:
        store.require(entry)
    for caught, cure in ((missing, "Press Download in Models and settings"), (damaged, "Press Remove, then Download")):
        text = error_html(through_the_worker(caught.value))
        assert cure in text
        assert "medsam-segment" not in text
        assert "medsam-segment models" in caught.value.cure, "the command line keeps its own"


def test_a_download_that_failed_names_no_command(application: Any, entry: Any) -> None:
    from MedSAMSegmentLib.checkpoints.remedies import all_sources_failed
    from MedSAMSegmentLib.errors import DownloadError
    from MedSAMSegmentLib.ui.widgets.messages import error_html

    text = error_html(through_the_worker(all_sources_failed(entry, [DownloadError("No network.", "Check the proxy.")])))
    assert "Check the proxy." in text
    assert "then import that file" in text
    assert "medsam-segment" not in text
