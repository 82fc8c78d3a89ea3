"""Validation of the arguments of learners."""

from __future__ import annotations

from typing import Any

from keras_metaloss._utils.checks import check_positive_integer

__all__ = ["check_classes", "check_image_shape"]


def check_image_shape(input_shape: Any) -> tuple[int | None, ...]:
    """Returns `(height, width, channels)`; height and width may be `None`."""
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(
            "Invalid value for argument `input_shape`. Expected (height, width, "
            f"channels). Received: input_shape={input_shape!r}"
        )
    *sizes, channels = input_shape
    for size in (*(s for s in sizes if s is not None), channels):
        check_positive_integer("input_shape", size)
    return tuple(input_shape)


def check_classes(classes: Any) -> int | None:
    """Returns a number of classes or `None`, or raises a `ValueError`."""
    return None if classes is None else check_positive_integer("classes", classes)
