"""Pictures side by side, each with a line of text above it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

IMAGES = Path(__file__).parent / "images"
GAP = 6
"""Pixels between panels."""


def strip(
    panels: Sequence[tuple[str, NDArray[np.uint8]]], path: Path, columns: int | None = None
) -> None:
    """Write panels of one size as a JPEG.

    Parameters
    ----------
    panels
        Text and (H, W, 3) picture of each.
    path
        Of the file.
    columns
        Panels in a row; all if omitted.
    """
    height, width = panels[0][1].shape[:2]
    columns = len(panels) if columns is None else columns
    rows = -(-len(panels) // columns)
    letters = max(12, width // 20)
    line = letters + 8
    size = (columns * (width + GAP) - GAP, rows * (height + line))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(findfont("DejaVu Sans"), letters)
    for number, (text, panel) in enumerate(panels):
        left, top = number % columns * (width + GAP), number // columns * (height + line)
        draw.text((left + 2, top + 2), text, "black", font)
        sheet.paste(Image.fromarray(panel), (left, top + line))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=82, optimize=True)
    print(f"{path.relative_to(IMAGES)}: {path.stat().st_size / 1000:.0f} kB", flush=True)
