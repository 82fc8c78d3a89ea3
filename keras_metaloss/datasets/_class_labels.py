"""From images by class to images with labels."""

from __future__ import annotations

import numpy as np

__all__ = ["with_labels"]


def with_labels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[classes, drawings, height, width]` as `x` and `y` of single images."""
    classes, drawings = images.shape[:2]
    labels = np.repeat(np.arange(classes, dtype="int32"), drawings)
    return images.reshape(classes * drawings, *images.shape[2:], 1), labels
