"""Base class of mix-ins for Keras models."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import keras

__all__ = ["ModelMixin"]

if TYPE_CHECKING:
    _Extended: TypeAlias = keras.Model
else:
    _Extended = object


class ModelMixin(_Extended):
    """Base class of mix-ins, which are listed before a Keras model class.

    A mix-in calls the methods of that model with `super()`, so type checkers treat it
    as a subclass of `keras.Model`. It is not one: it has to work with
    `keras.Sequential` and other subclasses as well.
    """
