"""`medsam-segment view`: an image and its segmentation in the browser, on this machine alone."""

from __future__ import annotations

import argparse
import contextlib
import threading
import webbrowser
from pathlib import Path
from urllib.parse import quote

from .progress import say
from .serve import require_model, require_packages

IDLE_SECONDS = 24 * 3600.0
"""Whoever leaves the page open over lunch must find the work as it was."""

RUNS = 1000
"""A result stays as long as the object that came of it may be saved."""

GOODBYE = "Keep this window open; Ctrl+C ends the viewer. The image and the results stay on this machine."


def run(options: argparse.Namespace) -> None:
    require_packages()
    from ..service.local_images import open_local
    from ..service.server import serve
    from ..service.service import Service
    from ..service.settings import ComputeSettings, Limits, ServiceSettings

    settings = ServiceSettings(
        port=options.port,
        limits=Limits(idle_seconds=IDLE_SECONDS, runs=RUNS, workers=0),
        compute=ComputeSettings(options.model, options.device, options.precision, options.engine),
    )
    require_model(options)
    service = Service(settings, prepare=True)
    try:
        fragment = f"token={settings.token}"
        if options.image:
            image = open_local(
                service, options.image, series=options.series, spacing=options.spacing, frame=options.frame
            )
            for note in image.volume.notes:
                say(note, options.quiet)
            # The page shows the name; the server does not know it.
            fragment += f"&image={image.id}&name={quote(Path(options.image).name, errors='replace')}"
    except BaseException:
        service.close()
        raise

    def announce(address: str) -> None:
        # What follows the # stays in the browser: it is in no request, and in no log.
        page = f"{address}/viewer/#{fragment}"
        print(f"Viewer at {page}", flush=True)
        say(GOODBYE, options.quiet)
        if not options.no_browser:
            # Some browsers return only when they are closed.
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    # Ctrl+C is how it is meant to end.
    with contextlib.suppress(KeyboardInterrupt):
        serve(service, announce)
