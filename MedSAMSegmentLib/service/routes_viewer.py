"""The viewer's page: a few fixed files, which hold no secret and need no token."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse

from .problems import not_found

PAGE = Path(__file__).parent / "viewer"
"""Built from the folder `Resources/viewer` of the repository."""

FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "LICENSES.txt": ("LICENSES.txt", "text/plain; charset=utf-8"),
}
"""What is served, by its address: nothing else of the folder can be asked for."""

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip
"""The font of the orientation letters is a picture within the script, hence `data:`; nothing else is let through."""

router = APIRouter(include_in_schema=False)


@router.get("/")
def root() -> RedirectResponse:
    """Lead whoever typed the server's name to the page."""
    return RedirectResponse("/viewer/")


@router.get("/viewer/{name}")
def viewer(name: str) -> FileResponse:
    """Serve a file of the page."""
    if name not in FILES:
        raise not_found("page")
    file, media_type = FILES[name]
    return FileResponse(PAGE / file, media_type=media_type, headers={"Content-Security-Policy": POLICY})


@router.get("/viewer/")
def page() -> FileResponse:
    """Serve the page itself."""
    return viewer("")
