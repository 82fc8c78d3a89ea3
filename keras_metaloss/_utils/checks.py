"""Validation of arguments."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

__all__ = [
    "check_boolean",
    "check_choice",
    "check_decay_rate",
    "check_names",
    "check_non_negative",
    "check_non_negative_integer",
    "check_positive",
    "check_positive_integer",
    "check_positive_integers",
    "check_seed",
    "check_within",
]


def check_boolean(name: str, value: Any) -> bool:
    """Returns `value` as a `bool`, or raises a `ValueError` if it is not Boolean."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected True or False. "
            f"Received: {name}={value!r}"
        )
    return bool(value)


def check_choice(name: str, value: Any, allowed: Iterable) -> Any:
    """Returns `value` if it is one of `allowed`, or raises a `ValueError`."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected one of {allowed}. "
            f"Received: {name}={value!r}"
        )
    return value


def check_decay_rate(name: str, value: Any) -> float:
    """Returns `value` as a `float`, or raises a `ValueError` outside of [0, 1)."""
    if not _is_real(value) or not 0 <= value < 1:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a number of at least 0 and "
            f"less than 1. Received: {name}={value!r}"
        )
    return float(value)


def check_positive_integer(name: str, value: Any) -> int:
    """Returns `value` as an `int`, or raises a `ValueError` if it is not positive."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a positive integer. "
            f"Received: {name}={value!r}"
        )
    return int(value)


def check_names(argument: str, names: Iterable) -> None:
    """Raises a `ValueError` unless all names are strings.

    Saved files store other names as strings, under which they are not found again.
    """
    names = tuple(names)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"Invalid value for argument `{argument}`. Expected names that are strings "
            f"(saved files store names as strings). Received: {argument} with the "
            f"names {names}"
        )


def check_positive_integers(name: str, values: Any) -> tuple[int, ...]:
    """Returns a sequence as a tuple of positive `int`s, or raises a `ValueError`."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a sequence of positive "
            f"integers. Received: {name}={values!r}"
        )
    return tuple(check_positive_integer(name, value) for value in values)


def check_non_negative_integer(name: str, value: Any) -> int:
    """Returns `value` as an `int`, or raises a `ValueError` if it is negative."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a non-negative integer. "
            f"Received: {name}={value!r}"
        )
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """Returns `value` as a `float`, or raises a `ValueError` if it is not positive."""
    if not _is_real(value) or not 0 < value < math.inf:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a finite positive number. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def check_non_negative(name: str, value: Any) -> float:
    """Returns `value` as a `float`, or raises a `ValueError` if it is negative."""
    if not _is_real(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a finite non-negative "
            f"number. Received: {name}={value!r}"
        )
    return float(value)


def check_seed(value: Any) -> int:
    """Returns the seed as an `int`, or raises a `ValueError`."""
    if check_non_negative_integer("seed", value) >= 2**63:
        raise ValueError(
            "Invalid value for argument `seed`. Expected an integer less than 2**63. "
            f"Received: seed={value!r}"
        )
    return int(value)


def check_within(name: str, value: Any, low: float, high: float) -> None:
    """Raises a `ValueError` for numbers outside of (low, high); skips tensors."""
    values = value.tolist() if isinstance(value, np.ndarray) else value
    entries: list[Any] = [
        v for v in keras.tree.flatten(values) if isinstance(v, numbers.Number)
    ]
    if not all(low < v < high for v in entries):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected numbers greater than {low} "
            f"and less than {high}. Received: {name}={value!r}"
        )


def _is_real(value: Any) -> bool:
    """Returns whether `value` is a real number and not a Boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
