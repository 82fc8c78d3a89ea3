"""Saved counter of outer steps, for methods that change over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import tensorflow as tf

__all__ = ["UpdateCounter"]

if TYPE_CHECKING:
    _Base: TypeAlias = keras.layers.Layer
else:
    _Base = object


class UpdateCounter(_Base):
    """Mix-in of `Adaptation` with the number of outer steps taken.

    The counter is a weight of the method. It continues after `compile`,
    `load_weights` and further calls of `fit`.
    """

    depends_on_updates: bool

    def build_updates(self) -> None:
        """Creates the counter if the method depends on it."""
        if self.depends_on_updates:
            self.updates = self.add_weight(
                name="updates",
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
            )
        self.current_trace_key = self.trace_key(0)

    def trace_key(self, updates: int) -> Any:
        """Returns a value that changes when the training step must be retraced.

        Args:
            updates: Number of outer steps taken.
        """
        return None

    def set_updates(self, updates: tf.Tensor) -> None:
        """Sets the number of outer steps taken. Called after each outer step.

        Args:
            updates: Number of outer steps, an integer scalar. Methods with
                `depends_on_updates = False` receive the iterations of the optimizer,
                which restart after `compile`.
        """
        if self.depends_on_updates:
            self.updates.assign(tf.cast(updates, "int32"))
