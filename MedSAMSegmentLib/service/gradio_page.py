"""A page for whoever knows Gradio: one picture, boxes, masks. `gradio_client` finds `/segment` under the same address.

Gradio is mounted on the service's own application, behind the same guard. It reports nothing to its makers, its files
lie in the service's folder and go with it, and its policy lets the page ask for nothing from another host.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, MedSAMError, PromptError
from ..prompts import Box
from .guard import GRADIO
from .problems import UNEXPECTED
from .runs import Run, RunOrder
from .service import Service
from .sessions import ImageSession
from .uploads import Upload, read_upload

FOLDER = "gradio"
"""In the folder of the sessions: pictures as they were sent, and masks."""

LARGEST_PICTURE = 64_000_000
"""Bytes of a picture's file."""

NO_REPORTS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_RUN_HISTORY": "False",
}

_log = logging.getLogger(__name__)

INTRODUCTION = (
    "Choose a picture, drag a box around each thing, press *Segment*. What nobody uses for a while is deleted."
)


def mount(app: Any, service: Service) -> None:
    """Put the page on the application, under `guard.GRADIO`."""
    # Both are read when Gradio is imported.
    os.environ.update(NO_REPORTS)
    os.environ["GRADIO_TEMP_DIR"] = str(service.sessions.folder / FOLDER)
    import gradio
    from gradio_image_annotation import image_annotator

    def segment(annotated: dict[str, Any] | None) -> tuple[NDArray[np.uint8], list[tuple[NDArray[np.bool_], str]]]:
        try:
            pixels, boxes, names = asked_for(annotated)
            return pixels, list(zip(masks_of(service, pixels, boxes, names), names, strict=True))
        except MedSAMError as error:
            raise refusal(str(error)) from None
        except Exception as error:  # noqa: BLE001 - a trace may hold names: the type says enough
            _log.error("unexpected %s on Gradio's page", type(error).__name__)
            raise refusal(str(UNEXPECTED)) from None

    refusal = partial(gradio.Error, print_exception=False)
    idle = round(service.settings.limits.idle_seconds)
    with gradio.Blocks(title="MedSAMSegment", delete_cache=(min(60, idle), idle), analytics_enabled=False) as page:
        gradio.Markdown(f"# MedSAMSegment\n{INTRODUCTION}")
        picture = image_annotator(
            label="Picture and boxes", sources=["upload", "clipboard"], image_type="numpy",
            show_share_button=False, disable_edit_boxes=True, box_min_size=1,
        )  # fmt: skip
        _guard_picture(picture, refusal)
        button = gradio.Button("Segment", variant="primary")
        masks = gradio.AnnotatedImage(label="Masks", format="png", height=480)
        button.click(segment, inputs=picture, outputs=masks, api_name="segment", show_progress="full")
    page.queue(default_concurrency_limit=service.settings.limits.queue)
    # Fonts of the system: those of the default theme would be asked for at another host.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    gradio.mount_gradio_app(
        app,
        page,
        GRADIO,
        theme=theme,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        max_file_size=LARGEST_PICTURE,
    )


def _guard_picture(picture: Any, refusal: Callable[[str], Exception]) -> None:
    """Refuse a picture that is named by an address, which Gradio would fetch, and one that cannot be read.

    Gradio's own errors hold paths and names, and it prints them.
    """
    keep, read = picture.async_move_resource_to_block_cache, picture.preprocess

    async def keep_what_was_sent(place: Any) -> Any:
        if "://" in str(place):
            raise refusal("The server fetches no pictures. Send the picture itself.")
        return await keep(place)

    def read_picture(payload: Any) -> Any:
        try:
            return read(payload)
        except Exception:  # noqa: BLE001 - whatever a reader of pictures raises
            raise refusal("The picture cannot be read. Export it again.") from None

    picture.async_move_resource_to_block_cache, picture.preprocess = keep_what_was_sent, read_picture


def asked_for(annotated: Mapping[str, Any] | None) -> tuple[NDArray[np.uint8], list[Box], list[str]]:
    """Return the pixels (rows, columns, 3), boxes and names of what was drawn. Raises `PromptError`."""
    if not annotated or annotated.get("image") is None:
        raise PromptError("There is no picture.", "Choose one.")
    drawn: Sequence[Mapping[str, Any]] = annotated.get("boxes") or ()
    if not drawn:
        raise PromptError("There is no box.", "Drag one around each thing.")
    if not isinstance(annotated["image"], np.ndarray):
        raise PromptError("The picture is a drawing (SVG).", "Use PNG, JPEG or TIFF.")
    pixels = np.asarray(annotated["image"], np.uint8)
    # Boxes are those of the picture as it was turned, clockwise.
    pixels = np.ascontiguousarray(np.rot90(pixels, k=-int(annotated.get("orientation") or 0)))
    rows, columns = pixels.shape[:2]
    boxes = [
        Box(i=_within(one["xmin"], one["xmax"], columns), j=_within(one["ymin"], one["ymax"], rows), k=(0, 0))
        for one in drawn
    ]
    return pixels, boxes, [str(one.get("label") or f"Segment_{number}")[:80] for number, one in enumerate(drawn, 1)]


def _within(first: float, last: float, count: int) -> tuple[int, int]:
    """Return the bounds of a box along one axis, both included, within the picture."""
    lower, upper = (min(max(round(value), 0), count - 1) for value in sorted((first, last)))
    return lower, upper


def masks_of(
    service: Service, pixels: NDArray[np.uint8], boxes: Sequence[Box], names: Sequence[str]
) -> list[NDArray[np.bool_]]:
    """Return the mask (rows, columns) of each box of a picture, which is deleted again. Raises `MedSAMError`."""
    session = _opened(service, pixels)
    try:
        order = RunOrder([[box] for box in boxes], names, (), axis=0)
        run = service.run(session, order, model=None, window="auto")
        _wait(run)
        if run.result is None:
            raise run.error or Cancelled()
        return [item.mask[0] for item in run.result.objects]
    finally:
        service.sessions.remove(session.id)


def _opened(service: Service, pixels: NDArray[np.uint8]) -> ImageSession:
    """Return the session of a picture, as if it had been sent. Raises `MedSAMError`."""
    from PIL import Image

    session_id, folder = service.sessions.reserve()
    try:
        path = Path(folder, "image.png")
        # A grey picture comes in colours here, and is read as grey elsewhere.
        grey = bool((pixels == pixels[..., :1]).all())
        Image.fromarray(pixels[..., 0] if grey else pixels).save(path)
        upload = Upload(path, hashlib.sha256(path.read_bytes()).hexdigest())
        volume, frames = read_upload(upload, service.settings.limits, series=None, frame=0)
        session = ImageSession(session_id, folder, volume, upload.sha256, frames)
        service.sessions.add(session)
    finally:
        service.sessions.give_up(session_id)
    return session


def _wait(run: Run) -> None:
    """Return when a run is over, however it ended."""
    news = threading.Event()
    run.listen(news.set)
    try:
        while not run.over:
            news.wait()
            news.clear()
    finally:
        run.unlisten(news.set)
