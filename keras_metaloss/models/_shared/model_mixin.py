"""Base class of mix-ins for Keras models."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import keras

__all__ = ["ModelMixin"]

if TYPE_CHECKING:
    _Base: TypeAlias = keras.Model
else:
    _Base = object


class ModelMixin(_Base):
    """Base class of mix-ins, which are listed before a Keras model class.

    A mix-in calls the methods of the model with `super()`, so type checkers treat it as
    a subclass of `keras.Model`. At run time it is not a subclass, because it must also
    work with `keras.Sequential` and other model classes.
    """
