"""A user at the page: objects, corrections, undo, keys, cancelling, saving, opening, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from browser import CONTROL, SHIFT, Browser
from dicom_support import masks_of_rtstruct, masks_of_seg, write_series
from service_support import TOKEN, write_ct
from viewer_support import BLOCK, GRIDS, SHAPE, StartViewer, Viewer, write_block

from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.read_volume import read_volume

VOXEL = (19, 8, 6)
"""One of the block."""

K = VOXEL[2]


@pytest.fixture
def block(tmp_path: Path) -> Path:
    return write_block(tmp_path / "DOE^JANE.nrrd", GRIDS["RAS"])


@pytest.fixture
def viewer(start_viewer: StartViewer, block: Path) -> Viewer:
    opened = start_viewer(block)
    opened.find(VOXEL)
    return opened


def drag_around_the_block(viewer: Viewer, *, modifiers: int = 0) -> None:
    left, top, right, bottom = viewer.block
    viewer.drag((left - 3, top - 3, right + 3, bottom + 3), modifiers=modifiers)


def objects(viewer: Viewer) -> int:
    return int(viewer.page.evaluate("viewer.history.now.items.length"))


def test_objects_corrections_and_undo(viewer: Viewer) -> None:
    page = viewer.page
    drag_around_the_block(viewer)
    viewer.until_done()
    assert page.text("#objects").split() == ["Segment", "1", "0.0480", "mL", "◉", "✕"]
    assert "48" not in page.text("#message")

    # The next drag is the next object, with Control it is one more box of the same.
    drag_around_the_block(viewer)
    viewer.until_done(1)
    page.wheel(viewer.pane("axial")[:2], 0)
    drag_around_the_block(viewer, modifiers=CONTROL)
    viewer.until_done(1)
    assert objects(viewer) == 2
    assert page.evaluate("viewer.history.now.items[1].prompts.map(p => p.type)") == ["box", "box"]

    # A click moves the crosshair; with Shift, or in its mode, it says what belongs to the object, or does not.
    place = [(a + b) / 2 for a, b in zip(viewer.block[:2], viewer.block[2:], strict=True)]
    page.click_at(place)
    assert page.evaluate("viewer.history.now.items[1].prompts.length") == 2
    page.click_at(place, modifiers=SHIFT)
    viewer.until_done(1)
    page.press("e")
    page.click_at(place)
    viewer.until_done(1)
    signs = page.evaluate("viewer.history.now.items[1].prompts.slice(2).map(p => [p.type, p.positive])")
    assert signs == [["point", True], ["point", False]]

    for left in (3, 2, 1):
        page.press("z", modifiers=CONTROL)
        assert page.evaluate("viewer.history.now.items[1].prompts.length") == left
    page.press("z", modifiers=CONTROL)
    assert objects(viewer) == 1
    page.press("y", modifiers=CONTROL)
    # What it found is there again at once.
    assert viewer.item("status", 1) == "done"
    page.press("Delete")
    assert objects(viewer) == 1
    page.click("#undo")
    assert objects(viewer) == 2
    assert page.complaints == []


def test_a_drag_shows_a_first_look_and_then_the_preview(viewer: Viewer) -> None:
    page = viewer.page
    page.evaluate(
        "window.shown = []; const note = viewer.history.note.bind(viewer.history);"
        "viewer.history.note = (id, revision, fields) => {"
        "  if (fields.preview) shown.push(fields.preview.data.length); note(id, revision, fields); }; 0"
    )
    drag_around_the_block(viewer)
    viewer.until_done()
    # The stand-in's first look is all that its answer is not.
    first, answer = page.evaluate("shown")
    assert first == SHAPE[1] * SHAPE[2]
    assert answer == (BLOCK[1].stop - BLOCK[1].start) * (BLOCK[2].stop - BLOCK[2].start)


def test_the_range_the_other_reading_and_the_slices_to_look_at(viewer: Viewer) -> None:
    page = viewer.page
    drag_around_the_block(viewer)
    viewer.until_done()
    assert "by itself" in page.text("#details")
    page.press("PageDown", "Home")
    viewer.until_done()
    page.press("PageUp", "PageUp", "End")
    viewer.until_done()
    assert viewer.item("range") == [K - 1, K + 1]
    handle = "#details .handles input"
    page.evaluate(f"document.querySelectorAll({handle!r})[1].focus()")
    page.press("ArrowRight")
    viewer.until_done()
    assert viewer.item("range") == [K - 1, K + 2]
    page.evaluate("document.activeElement.blur()")
    page.press("t")
    viewer.until_done()
    assert viewer.item("reading") == 2
    page.until("document.querySelector('#details .jump')")
    page.click("#details .jump")
    assert page.evaluate("viewer.views.position[2]") in viewer.item("facts.flagged_slices")


def test_keys_alone_are_enough(start_viewer: StartViewer, block: Path) -> None:
    viewer = start_viewer(block)
    page = viewer.page
    assert page.evaluate("document.activeElement.id") == "pane-axial"
    walk(viewer, (BLOCK[2].start - 1, BLOCK[1].start - 1, K))
    page.press(" ")
    walk(viewer, (BLOCK[2].stop, BLOCK[1].stop, K))
    page.press("Enter")
    viewer.until_done()
    expected = np.zeros(SHAPE, dtype=bool)
    expected[K, BLOCK[1], BLOCK[2]] = True
    assert np.array_equal(viewer.mask(), expected)
    walk(viewer, VOXEL)
    page.press("+")
    viewer.until_done()
    page.press("-")
    viewer.until_done()
    points = [
        (one["position"], one["positive"]) for one in page.evaluate("viewer.history.now.items[0].prompts.slice(1)")
    ]
    assert points == [(list(VOXEL), True), (list(VOXEL), False)]
    page.press("u", "h", "2", "w", "?")
    assert page.evaluate("document.querySelector('#keys').open")
    page.press("Escape")
    assert len(page.evaluate("viewer.history.now.items[0].prompts")) == 2
    assert viewer.item("visible") is False
    assert page.evaluate("viewer.views.shown") == ["coronal"]
    assert page.text("#window option:checked") == "CT abdomen 40/400"


def walk(viewer: Viewer, ijk: tuple[int, int, int]) -> None:
    """Press arrows and page keys in the axial view until the crosshair is at a voxel."""
    for axis, (forth, back) in enumerate(
        (("ArrowRight", "ArrowLeft"), ("ArrowDown", "ArrowUp"), ("PageUp", "PageDown"))
    ):
        at = viewer.page.evaluate("viewer.views.position")[axis]
        viewer.page.press(forth)
        step = viewer.page.evaluate("viewer.views.position")[axis] - at
        left = ijk[axis] - at - step
        viewer.page.press(*[forth if left * step > 0 else back] * abs(left))
    assert viewer.page.evaluate("viewer.views.position") == list(ijk)


@pytest.fixture
def slow_viewer(start_viewer: StartViewer, tmp_path: Path) -> Viewer:
    """Runs on its image take eight seconds."""
    opened = start_viewer(write_block(tmp_path / "long.nrrd", GRIDS["LPS"], slices=400), "slow")
    opened.find(VOXEL)
    return opened


def test_a_run_is_cancelled_and_another_begins(slow_viewer: Viewer) -> None:
    page = slow_viewer.page
    drag_around_the_block(slow_viewer)
    page.until("!document.querySelector('#progress').hidden && document.querySelector('#progress-bar').max > 1")
    page.click("#cancel")
    page.until("viewer.history.now.items[0].status === 'cancelled'")
    page.until("document.querySelector('#progress').hidden")
    assert "cancelled" in page.text("#objects")
    page.evaluate("document.activeElement.blur()")
    page.press("p")
    page.until("viewer.history.now.items[0].status === 'running'")
    page.press("x")
    page.until("viewer.history.now.items[0].status === 'cancelled'")
    # Before the server has given the run its number.
    page.evaluate(
        "viewer._revise(1, {}), new Promise(done => { const look = () => viewer.segmenter._current"
        " ? done(viewer.segmenter.cancel()) : setTimeout(look, 0); look(); })"
    )
    page.until("viewer.history.now.items[0].status === 'cancelled'")
    assert page.complaints == []


def test_the_next_object_does_not_wait_for_the_run_before(slow_viewer: Viewer) -> None:
    page = slow_viewer.page
    drag_around_the_block(slow_viewer)
    page.until("viewer.history.now.items[0].status === 'running'")
    drag_around_the_block(slow_viewer)
    page.until("viewer.history.now.items[1].preview")
    # The run before has given way, and begins anew.
    assert slow_viewer.item("status", 0) in ("waiting", "running")
    page.until("viewer.history.now.items[0].status === 'running'")
    page.press("x")
    page.until("viewer.history.now.items.every(item => item.status === 'cancelled')")


def test_drags_that_come_before_the_preview_are_all_segmented(start_viewer: StartViewer, block: Path) -> None:
    viewer = start_viewer(block, "slow-slice")
    viewer.find(VOXEL)
    for _ in range(3):
        drag_around_the_block(viewer)
    for number in range(3):
        viewer.until_done(number)
    assert viewer.page.complaints == []


def test_a_reload_loses_nothing(viewer: Viewer) -> None:
    drag_around_the_block(viewer)
    viewer.until_done()
    before = viewer.mask()
    assert TOKEN not in viewer.page.evaluate("location.href")
    viewer.reload()
    viewer.until_done()
    assert np.array_equal(viewer.mask(), before)
    assert viewer.page.text("#objects").startswith("Segment 1")
    assert viewer.page.complaints == []


@pytest.mark.parametrize("fragment", ["#token=a-wrong-token-of-them", ""])
def test_a_wrong_token_is_said_and_another_may_be_given(
    fragment: str, start_viewer: StartViewer, browser: Browser
) -> None:
    right = start_viewer().address
    with browser.page() as page:
        page.go(right.partition("#")[0] + fragment)
        page.until("document.querySelector('#token-dialog').open")
        assert "Use the address that the server printed" in page.text("#token-reason")
        page.evaluate("document.querySelector('#token').focus()")
        page.write(right)
        page.press("Enter")
        page.until("window.viewer?.settled")
        assert "drop it here" in page.text("#drop")


def test_an_image_that_is_gone_and_a_server_that_has_ended_are_said(viewer: Viewer) -> None:
    viewer.client.request("DELETE", f"/api/v1/sessions/{viewer.page.evaluate('viewer.facts.id')}")
    drag_around_the_block(viewer)
    viewer.page.until("document.querySelector('#message.bad')")
    assert viewer.page.text("#message") == "There is no such session. It may have been deleted, or have expired."
    viewer.reload()
    assert "no longer on the server" in viewer.page.text("#message")


@pytest.mark.parametrize("way", ["chosen", "dropped", "folder"])
def test_an_image_is_opened_from_the_page(way: str, start_viewer: StartViewer, block: Path, tmp_path: Path) -> None:
    viewer = start_viewer()
    page = viewer.page
    assert page.evaluate("getComputedStyle(document.querySelector('#drop')).display") == "flex"
    if way == "chosen":
        page.choose_files("#file", block)
    elif way == "dropped":
        page.drop_files(page.middle("#stage"), block)
    else:
        series = tmp_path / "series"
        write_series(series, np.arange(4 * 8 * 9, dtype=np.int16).reshape(4, 8, 9))
        page.choose_files("#folder", series)
    page.until("viewer.facts")
    assert page.text("#image-name") == (block.name if way != "folder" else "series")
    if way != "folder":
        assert viewer.page.evaluate("viewer.facts.shape_zyx") == list(SHAPE)
        # Of the file's name, which names a patient, the server gets the suffix alone.
        assert [one for one in page.requests if "/sessions?name=image.nrrd" in one]
        assert not [one for one in page.requests if "JANE" in one and not one.startswith("data:")]
    else:
        assert page.evaluate("viewer.facts.kind") == "dicom"
    assert page.complaints == []


def test_a_file_that_is_no_image_is_said(start_viewer: StartViewer, tmp_path: Path) -> None:
    viewer = start_viewer()
    (tmp_path / "note.txt").write_text("no image", encoding="utf-8")
    viewer.page.choose_files("#file", tmp_path / "note.txt")
    viewer.page.until("document.querySelector('#message.bad')")
    assert "Images of this kind are not taken." in viewer.page.text("#message")


@pytest.mark.parametrize("kind", ["seg.nrrd", "nii.gz"])
def test_all_objects_are_saved_in_one_file(kind: str, viewer: Viewer, tmp_path: Path) -> None:
    page = viewer.page
    page.save_downloads(tmp_path)
    drag_around_the_block(viewer)
    viewer.until_done()
    page.evaluate("document.querySelector('.pick').focus()")
    page.press("F2")
    page.until("document.querySelector('.rename')")
    page.write("left kidney")
    page.press("Enter")
    drag_around_the_block(viewer)
    viewer.until_done(1)
    masks = [viewer.mask(number) for number in range(2)]
    page.evaluate(f"document.querySelector('#format').value = {kind!r}")
    page.click("#save")
    page.until("document.querySelector('#message').textContent === 'Saved 2 objects.'")
    path = tmp_path / f"segmentation.{kind}"
    page.until_file(path)
    if kind == "seg.nrrd":
        first, second = read_segmentation(path).segments
        assert (first.name, second.name) == ("left kidney", "Segment 2")
        assert np.array_equal(first.mask_zyx, masks[0])
        assert np.array_equal(second.mask_zyx, masks[1])


def test_dicom_is_refused_for_an_image_that_was_none(viewer: Viewer) -> None:
    drag_around_the_block(viewer)
    viewer.until_done()
    viewer.page.evaluate("document.querySelector('#format').value = 'dcm'")
    viewer.page.press("s", modifiers=CONTROL)
    viewer.page.until("document.querySelector('#message.bad')")
    assert "images that were sent as DICOM" in viewer.page.text("#message")


@pytest.mark.parametrize("kind", ["dcm", "rtstruct"])
def test_a_dicom_folder_goes_in_and_dicom_comes_out(kind: str, start_viewer: StartViewer, tmp_path: Path) -> None:
    if kind == "dcm":
        pytest.importorskip("highdicom")
    stored = np.full((5, 30, 40), -80)
    stored[1:4, 8:16, 20:32] = 200
    series = write_ct(tmp_path / "series", stored)
    viewer = start_viewer(series)
    viewer.find((25, 11, 2))
    viewer.page.save_downloads(tmp_path)
    drag_around_the_block(viewer)
    viewer.until_done()
    viewer.page.evaluate("document.querySelector('#format').value = " + repr(kind))
    viewer.page.press("s", modifiers=CONTROL)
    viewer.page.until("document.querySelector('#message').textContent === 'Saved one object.'")
    path = tmp_path / ("segmentation.dcm" if kind == "dcm" else "segmentation.rtstruct.dcm")
    viewer.page.until_file(path)
    saved = pydicom.dcmread(path)
    assert saved.Modality == {"dcm": "SEG", "rtstruct": "RTSTRUCT"}[kind]
    read = masks_of_seg if kind == "dcm" else masks_of_rtstruct
    (mask,) = read(saved, read_volume(series)).values()
    assert np.array_equal(mask, viewer.mask())
    assert np.array_equal(mask[2], stored[2] > 0)


def test_no_request_leaves_the_machine(viewer: Viewer) -> None:
    drag_around_the_block(viewer)
    viewer.until_done()
    page = viewer.page
    page.press("w", "1", "0", "?")
    page.press("Escape")
    assert viewer.foreign_requests() == []
    # And none could: the policy lets through what is the server's own.
    blocked = "fetch('http://127.0.0.2:9/').then(() => 'sent', error => error.message)"
    assert "Failed to fetch" in page.evaluate(blocked)
    assert any("Content Security Policy" in said for said in page.complaints)
    assert not [one for one in page.requests if TOKEN in one.partition("#")[0]]


@pytest.mark.parametrize("dark", [False, True])
def test_everything_fits_a_small_screen(dark: bool, start_viewer: StartViewer, block: Path) -> None:
    viewer = start_viewer(block, width=1280, height=720, dark=dark)
    viewer.find(VOXEL)
    drag_around_the_block(viewer)
    viewer.until_done()
    outside = viewer.page.evaluate(
        "[...document.querySelectorAll('header *, aside *, footer *')].filter(e => e.checkVisibility()).filter(e => {"
        " const b = e.getBoundingClientRect(); return b.right > innerWidth + 1 || b.bottom > innerHeight + 1 })"
        ".map(e => e.outerHTML)"
    )
    assert outside == []
    shade = viewer.page.evaluate("getComputedStyle(document.querySelector('aside')).backgroundColor")
    assert (sum(json.loads(shade.replace("rgb(", "[").replace(")", "]"))) < 300) is dark
