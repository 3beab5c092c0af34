"""The curves of a training: a table, and a picture drawn with Pillow."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from .state import CurveRow

WIDTH, HEIGHT, MARGIN = 900, 420, 56
BLUE, ORANGE, GREY, BLACK = (40, 96, 180), (220, 120, 20), (215, 215, 215), (40, 40, 40)
SMOOTHED_OVER = 10
"""Steps; single batches differ too much to see a trend."""


def write_table(path: Path, curve: Sequence[CurveRow]) -> None:
    """Write the rows as CSV; cells of what was not scored are empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(CurveRow)], restval="")
        writer.writeheader()
        writer.writerows(asdict(row) for row in curve)


def draw_curves(path: Path, curve: Sequence[CurveRow], title: str) -> None:
    """Draw the loss (left axis) and the Dice of the validation (right axis) over the steps, as PNG."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    last = max((row.step for row in curve), default=1)
    highest = max((row.loss for row in curve), default=1.0) or 1.0
    left, right, top, bottom = MARGIN, WIDTH - MARGIN, MARGIN, HEIGHT - MARGIN

    def place(step: float, part: float) -> tuple[float, float]:
        return left + (right - left) * step / last, bottom - (bottom - top) * min(max(part, 0.0), 1.0)

    for line in range(6):
        part = line / 5
        y = place(0, part)[1]
        draw.line([(left, y), (right, y)], fill=GREY)
        draw.text((8, y - 6), f"{highest * part:.2f}", fill=BLUE)
        draw.text((right + 8, y - 6), f"{part:.1f}", fill=ORANGE)
        draw.text((left + (right - left) * part - 8, bottom + 8), f"{round(last * part)}", fill=BLACK)
    losses = _smooth([row.loss for row in curve])
    _line(draw, [place(row.step, loss / highest) for row, loss in zip(curve, losses, strict=True)], BLUE)
    scored = [place(row.step, row.validation_dice) for row in curve if row.validation_dice is not None]
    _line(draw, scored, ORANGE)
    for x, y in scored:
        draw.ellipse([(x - 3, y - 3), (x + 3, y + 3)], fill=ORANGE)
    # The font that comes with Pillow has no other letters.
    draw.text((left, 10), title.encode("ascii", "replace").decode(), fill=BLACK)
    draw.text((left, 28), f"loss, mean of {SMOOTHED_OVER} steps", fill=BLUE)
    draw.text((left + 200, 28), "Dice, validation" if scored else "not validated", fill=ORANGE)
    draw.text((right - 40, bottom + 28), "step", fill=BLACK)
    image.save(path, format="PNG")


def _smooth(values: Sequence[float]) -> list[float]:
    found = []
    for place in range(len(values)):
        part = values[max(0, place - SMOOTHED_OVER + 1) : place + 1]
        found.append(sum(part) / len(part))
    return found


def _line(draw: object, points: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
    if len(points) > 1:
        draw.line(list(points), fill=colour, width=2)  # type: ignore[attr-defined]
