"""Validation that variables have the same number of samples."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["check_same_length"]


def check_same_length(**values: tf.Tensor) -> None:
    """Raises a `ValueError` if the static numbers of samples differ."""
    lengths = {v.shape[0] for v in values.values() if v.shape[0] is not None}
    if len(lengths) > 1:
        shapes = ", ".join(f"{name}.shape={v.shape}" for name, v in values.items())
        names = " and ".join(f"`{name}`" for name in values)
        raise ValueError(
            f"Invalid value for arguments {names}. Expected the same number of "
            f"samples. Received: {shapes}"
        )
