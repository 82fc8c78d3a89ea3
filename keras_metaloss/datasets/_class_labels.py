"""Conversion of images grouped by class to labeled images."""

from __future__ import annotations

import numpy as np

__all__ = ["with_labels"]


def with_labels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flattens `[classes, drawings, height, width]` to images `x` and labels `y`."""
    classes, drawings = images.shape[:2]
    labels = np.repeat(np.arange(classes, dtype="int32"), drawings)
    return images.reshape(classes * drawings, *images.shape[2:], 1), labels
