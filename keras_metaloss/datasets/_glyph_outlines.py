"""Outlines of the characters of Matplotlib's typefaces, and their rasterization."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import ft2font
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path as Outline
from matplotlib.transforms import IdentityTransform
from numpy.typing import ArrayLike

__all__ = ["fit", "load_typefaces", "outline", "rasterize"]

# Hinting differs between versions of Matplotlib. Version 3.10 moved the flags.
_FLAGS = vars(ft2font).get("LoadFlags")
_UNHINTED = _FLAGS.NO_HINTING if _FLAGS else vars(ft2font)["LOAD_NO_HINTING"]

# The Unicode typefaces. The `cm*` typefaces use their own encodings, in which "A" may
# be another character; `STIXSiz*` and `STIXNonUni*` contain only variants.
_TYPEFACES = tuple(
    f"DejaVu{family}{style}"
    for family, slanted in (("Sans", "Oblique"), ("SansMono", "Oblique"))
    for style in ("", "-Bold", f"-{slanted}", f"-Bold{slanted}")
) + (
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
)


def load_typefaces() -> list[FT2Font]:
    """Opens the 16 typefaces that the glyphs are drawn from."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    typefaces = [FT2Font(str(folder / f"{name}.ttf")) for name in _TYPEFACES]
    for typeface in typefaces:
        typeface.set_size(2048, 72)
    return typefaces


def outline(typeface: FT2Font, character: str) -> Outline | None:
    """Returns the outline of `character`, or `None` if nothing would be drawn."""
    index = typeface.get_char_index(ord(character))
    if not index:
        return None
    typeface.load_glyph(index, flags=_UNHINTED)
    vertices, codes = typeface.get_path()
    if not len(vertices):
        return None
    # The coordinates of a closing point are arbitrary and must not change the extent.
    vertices[codes == Outline.CLOSEPOLY] = vertices[0]
    return Outline(vertices, codes)


def fit(vertices: ArrayLike, extent: float) -> np.ndarray:
    """Centers `vertices` on the origin and scales their longer side to `extent`."""
    vertices = np.asarray(vertices)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return (vertices - (low + high) / 2) * (extent / (high - low).max())


def rasterize(outlines: Sequence[Outline | None], size: int) -> np.ndarray:
    """Fills outlines given in pixels relative to the lower left corner of the image.

    Args:
        outlines: One outline per image; `None` leaves the image empty.
        size: Height and width of the images in pixels.

    Returns:
        uint8 array `[len(outlines), size, size]`: the covered fraction of each pixel
        times 255.
    """
    # All images are drawn side by side on one canvas.
    renderer = RendererAgg(size * len(outlines), size, 72)
    style = renderer.new_gc()
    style.set_linewidth(0)
    style.set_snap(False)
    for position, path in enumerate(outlines):
        if path is not None:
            moved = Outline(np.add(path.vertices, [position * size, 0]), path.codes)
            renderer.draw_path(style, moved, IdentityTransform(), (0.0, 0.0, 0.0))
    coverage = np.asarray(renderer.buffer_rgba())[..., 3]
    return coverage.reshape(size, len(outlines), size).swapaxes(0, 1).copy()
