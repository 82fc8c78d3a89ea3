"""Selection of the glyph classes and their assignment to splits."""

from __future__ import annotations

import unicodedata

import numpy as np
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path as Outline

from keras_metaloss.datasets import _glyph_outlines

__all__ = ["SPLIT_SCRIPTS", "candidates", "leaders", "look_alikes", "script", "split"]

COMMON = "COMMON"
SPLIT_SCRIPTS = {
    "train": ("LATIN", COMMON),
    "val": ("GREEK",),
    "test": ("CYRILLIC", "ARMENIAN", "GEORGIAN", "LAO"),
}
_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "LAO", COMMON)

_MINIMUM_TYPEFACES = 8
_UNWANTED_NAMES = (
    "ARROW",
    "BLOCK",
    "BOX DRAWINGS",
    "BRAILLE",
    "HARPOON",
    "QUADRANT",
    "REPLACEMENT",
    "SHADE",
)

# Shapes are compared as 32x32 images with the ink scaled to 26 pixels. This is about
# the detail of a 28x28 drawing, independent of the size that is rendered in the end.
_SIZE = 32
_EXTENT = 26
# Limits on the ink of one shape that is more than one pixel away from the ink of the
# other, in pixels: the maximum in any 3x3 window and the maximum in total. A thicker
# stroke adds a little ink along the whole contour; another accent adds it in one place.
# Scripts may be in different splits, so letters of two scripts must differ more to be
# different classes.
_LOCAL_INK = 2.5
_LOCAL_INK_BETWEEN_SCRIPTS = 4.0
_TOTAL_INK = 25.0
_PAIRS_AT_ONCE = 4096


def script(character: str) -> str:
    """Returns the script of a letter, `"COMMON"` for digits, marks and symbols."""
    name = unicodedata.name(character).split()[0]
    is_letter = unicodedata.category(character).startswith("L")
    return name if is_letter and name in _SCRIPTS else COMMON


def _is_wanted(character: str) -> bool:
    """Returns whether the character has its own shape according to Unicode."""
    category = unicodedata.category(character)
    # Excludes control and unassigned characters, spaces, combining marks, and marks
    # and raised letters that only modify another character.
    if category[0] in "CZM" or category in ("Lm", "Sk"):
        return False
    if unicodedata.normalize("NFC", character) != character:
        return False  # another code point for the same character
    if unicodedata.decomposition(character).startswith(("<super>", "<sub>")):
        return False
    name = unicodedata.name(character)
    return not any(word in name for word in _UNWANTED_NAMES)


def _precedence(character: str) -> tuple[bool, int, str]:
    """Returns the sort key: ASCII first, then letters by script, then others."""
    return not character.isascii(), _SCRIPTS.index(script(character)), character


def candidates(typefaces: list[FT2Font]) -> dict[str, list[Outline | None]]:
    """Returns the outlines of the characters that at least eight typefaces contain.

    Returns:
        Dictionary from each character to its outline in each typeface, `None` if the
        typeface does not contain it. Characters are sorted by precedence: the first
        one of several look-alikes represents their class.
    """
    code_points = set().union(*(face.get_charmap() for face in typefaces))
    wanted = filter(_is_wanted, map(chr, code_points))
    found = {}
    for character in sorted(wanted, key=_precedence):
        outlines = [_glyph_outlines.outline(face, character) for face in typefaces]
        if sum(path is not None for path in outlines) >= _MINIMUM_TYPEFACES:
            found[character] = outlines
    return found


def look_alikes(characters: dict[str, list[Outline | None]]) -> np.ndarray:
    """Finds pairs of characters that look alike in at least half of their typefaces.

    Only typefaces that contain both characters count. Size and position are normalized
    first, because drawings vary them: "C" and "c" are look-alikes.

    Args:
        characters: Outline of each character in each typeface.

    Returns:
        Symmetric boolean array `[characters, characters]`.
    """
    by_typeface = list(zip(*characters.values(), strict=True))
    scripts = np.array([script(character) for character in characters])
    letters = scripts != COMMON
    between = letters[:, None] & letters & (scripts[:, None] != scripts)
    limits = np.where(between, _LOCAL_INK_BETWEEN_SCRIPTS, _LOCAL_INK)
    votes = np.zeros(limits.shape, dtype="int32")
    shared = np.zeros_like(votes)
    for outlines in by_typeface:
        rows = np.flatnonzero([path is not None for path in outlines])
        first, second, ink = _close_pairs(_shapes([outlines[row] for row in rows]))
        first, second = rows[first], rows[second]
        votes[first, second] += ink <= limits[first, second]
        shared[np.ix_(rows, rows)] += 1
    votes += votes.T
    return (votes > 0) & (2 * votes >= shared)


def _shapes(outlines: list[Outline]) -> np.ndarray:
    """Renders outlines at equal size as float32 images `[N, 32, 32]` in [0, 1]."""
    fitted = [
        Outline(_glyph_outlines.fit(path.vertices, _EXTENT) + _SIZE / 2, path.codes)
        for path in outlines
    ]
    blocks = [
        _glyph_outlines.rasterize(fitted[start : start + 64], _SIZE)
        for start in range(0, len(fitted), 64)
    ]
    return np.concatenate(blocks).astype("float32") / 255


def _close_pairs(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns index pairs `i < j` of similar images and the ink that differs.

    The ink that differs is the maximum over all 3x3 windows.
    """
    near = _over_neighbors(shapes, np.maximum)
    count = len(shapes)
    far_ink = shapes.reshape(count, -1) @ (1 - near).reshape(count, -1).T
    close = np.maximum(far_ink, far_ink.T) < _TOTAL_INK
    first, second = np.nonzero(np.triu(close, k=1))
    densest = np.zeros(len(first), dtype="float32")
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        i, j = first[part], second[part]
        densest[part] = np.maximum(
            _densest(np.maximum(shapes[i] - near[j], 0)),
            _densest(np.maximum(shapes[j] - near[i], 0)),
        )
    return first, second, densest


def _densest(images: np.ndarray) -> np.ndarray:
    """Returns the maximum ink in any 3x3 window of each image."""
    return _over_neighbors(images, np.add).max(axis=(1, 2))


def _over_neighbors(images: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Combines each pixel with its eight neighbors; pixels outside are 0."""
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1)])
    rows = combine(combine(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return combine(combine(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def leaders(characters: dict[str, list[Outline | None]]) -> list[str]:
    """Returns the characters that do not look like an earlier leader.

    Each leader represents a class. Its look-alikes are not drawn in any class, so no
    two classes look alike and no class mixes scripts.
    """
    alike = look_alikes(characters)
    leading = np.zeros(len(alike), dtype=bool)
    for index, row in enumerate(alike):
        leading[index] = not row[leading].any()
    return [c for c, leads in zip(characters, leading, strict=True) if leads]


def split(characters: list[str]) -> dict[str, list[str]]:
    """Assigns characters to splits by script, sorted by code point in each split."""
    return {
        name: sorted(c for c in characters if script(c) in scripts)
        for name, scripts in SPLIT_SCRIPTS.items()
    }
