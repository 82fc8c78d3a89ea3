"""Splits of arrays, and their conversion from images grouped by class."""

from __future__ import annotations

import numpy as np

__all__ = ["ArraySplit", "NamedArrays", "labeled_split"]

ArraySplit = tuple[np.ndarray, np.ndarray]
NamedArrays = dict[str, np.ndarray]


def labeled_split(images: np.ndarray) -> ArraySplit:
    """Flattens `[classes, drawings, height, width]` to images `x` and labels `y`."""
    classes, drawings = images.shape[:2]
    labels = np.repeat(np.arange(classes, dtype="int32"), drawings)
    return images.reshape(classes * drawings, *images.shape[2:], 1), labels
