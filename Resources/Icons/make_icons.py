"""Draws the extension's icons: SVG from the shapes below, PNG from the SVG. Needs PySide6.

Run `python Resources/Icons/make_icons.py` from anywhere; it writes beside itself and into the module's folders.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE_ICONS = ROOT / "MedSAMSegment" / "Resources" / "Icons"

TEAL, YELLOW, DARK, RED, GREEN = "#1f9aa5", "#f2b632", "#22313f", "#d64541", "#2e9e5b"

BOX = (
    '<rect x="12" y="16" width="40" height="32" fill="none" '
    f'stroke="{YELLOW}" stroke-width="4" stroke-dasharray="7 4"/>'
)
BLOB = "M20 33c0-9 7-13 14-12 8 1 12 5 11 12-1 8-6 11-13 11s-12-3-12-11z"
LOGO = f"""
<rect x="2" y="2" width="60" height="60" rx="12" fill="{DARK}"/>
<path d="{BLOB}" transform="translate(6 -7)" fill="{TEAL}" fill-opacity="0.35"/>
<path d="{BLOB}" transform="translate(3 -3.5)" fill="{TEAL}" fill-opacity="0.6"/>
<path d="{BLOB}" fill="{TEAL}"/>
{BOX}
"""

DRAWINGS: dict[str, str] = {
    "MedSAMSegment": LOGO,
    "Box": f'{BOX}<circle cx="12" cy="16" r="5" fill="{DARK}"/><circle cx="52" cy="48" r="5" fill="{DARK}"/>',
    "Include": (
        f'<circle cx="32" cy="32" r="22" fill="{GREEN}"/><path d="M32 20v24M20 32h24" stroke="#fff" stroke-width="6"/>'
    ),
    "Exclude": f'<circle cx="32" cy="32" r="22" fill="{RED}"/><path d="M20 32h24" stroke="#fff" stroke-width="6"/>',
    "Line": (
        f'<path d="M14 48L50 16" stroke="{YELLOW}" stroke-width="5"/>'
        f'<path d="M9 42l10 12M45 10l10 12" stroke="{DARK}" stroke-width="5"/>'
    ),
    "KeySlice": (
        f'<path d="M8 40l24-10 24 10-24 10z" fill="{TEAL}" fill-opacity="0.35"/>'
        f'<path d="M8 28l24-10 24 10-24 10z" fill="{TEAL}"/><circle cx="32" cy="28" r="6" fill="{YELLOW}"/>'
    ),
    "Propagate": (
        f'<path d="M32 6l10 12H22zM32 58l10-12H22z" fill="{DARK}"/>'
        f'<path d="M10 27h44M10 37h44" stroke="{TEAL}" stroke-width="6"/>'
    ),
}

TARGETS: tuple[tuple[str, Path, int], ...] = (
    ("MedSAMSegment", ROOT / "Resources" / "Icons" / "MedSAMSegment", 128),
    ("MedSAMSegment", MODULE_ICONS / "MedSAMSegment", 128),
    ("MedSAMSegment", ROOT / "MedSAMSegment" / "MedSAMSegmentEffect" / "SegmentEditorEffect", 64),
    *((name, MODULE_ICONS / name, 32) for name in DRAWINGS if name != "MedSAMSegment"),
)


def svg(name: str) -> str:
    body = DRAWINGS[name].strip()
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">\n{body}\n</svg>\n'


def render(text: str, size: int, path: Path) -> None:
    from PySide6.QtCore import QByteArray
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(text.encode())).render(painter)
    painter.end()
    image.save(str(path))


def main() -> int:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtGui import QGuiApplication

    application = QGuiApplication(sys.argv)
    for name, target, size in TARGETS:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".svg").write_text(svg(name), encoding="utf-8")
        render(svg(name), size, target.with_suffix(".png"))
    del application
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
