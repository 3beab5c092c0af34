"""Make the pictures of the documentation.

    python Resources/Screenshots/make_screenshots.py story FOLDER      screenshots of the Slicer application
    python Resources/Screenshots/make_screenshots.py demo FOLDER       the picture of the demo

`story` takes the pictures that `Testing/application/native_story.py SLICER --ct FILE --screen 1440x900 --pictures
FOLDER` left, `demo` the one that `medsam-segment demo --output FOLDER` wrote. Each is stored with few colours, below
the size that a README should load.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
MAXIMUM_BYTES = 400_000
STEPS = {"self_check": "panel.png", "propagated": "effect_box.png", "two_objects": "MedSAMSegment.png"}
"""The step of the story that each picture shows."""


def take_story(folder: Path) -> None:
    """Store the screenshots of the application that the documentation shows."""
    for step, name in STEPS.items():
        (path,) = folder.glob(f"[0-9][0-9]_{step}.png")
        store(path, name)


def store(source: Path, name: str) -> None:
    """Store a picture with as many colours as its size allows."""
    picture = Image.open(source).convert("RGB")
    for colours in (256, 128, 64):
        picture.quantize(colours).save(HERE / name, optimize=True)
        if (HERE / name).stat().st_size < MAXIMUM_BYTES:
            print(f"wrote {name}: {(HERE / name).stat().st_size // 1000} kB")
            return
    raise SystemExit(f"{name} stays too large.")


def main(kind: str, folder: str) -> None:
    """Take the pictures of one kind from a folder."""
    if kind == "story":
        take_story(Path(folder))
    else:
        store(Path(folder) / "chest.png", "demo_chest.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
