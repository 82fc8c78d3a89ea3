"""Stacking and padding of structures of arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

__all__ = ["pad_to", "stack"]


def stack(values: list[Any]) -> Any:
    """Stacks structures of arrays along a new first axis."""
    return keras.tree.map_structure(lambda *arrays: np.stack(arrays), *values)


def pad_to(values: Any, length: int) -> Any:
    """Appends rows of zeros to each array until it has `length` rows."""

    def pad(array: np.ndarray) -> np.ndarray:
        missing = length - len(array)
        if not missing:
            return array
        rows = np.zeros((missing, *array.shape[1:]), array.dtype)
        return np.concatenate([array, rows])

    return keras.tree.map_structure(pad, values)
