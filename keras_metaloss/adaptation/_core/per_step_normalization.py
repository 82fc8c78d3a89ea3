"""Batch normalization with a separate scale and shift for each inner step."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss.adaptation._core.normalization import batch_normalizations

__all__ = ["PerStepNormalization", "row_of_step"]


class PerStepNormalization:
    """Scale and shift of all batch normalization layers, one row per inner step.

    Row `k` is used in the pass after `k` inner steps. There are `steps + 1` rows;
    further passes use the last row. The outer loop trains the rows; the inner loop does
    not change them.

    Args:
        owner: Layer that owns the variables.
        learner: Built Keras model.
        steps: Number of inner steps.

    Reference:
        Antoniou et al., "How to train your MAML", 2019, section 4 (BNWB). The per-step
        moving averages (BNRS) are not implemented: they do not match the statistics of
        a single task, and the authors' code uses batch statistics in evaluation too.
    """

    def __init__(
        self, owner: keras.layers.Layer, learner: keras.Model, steps: int
    ) -> None:
        self._last = steps
        self._rows: list[tuple[keras.Variable, keras.Variable]] = []
        for index, layer in enumerate(batch_normalizations(learner)):
            for name in ("gamma", "beta"):
                variable = getattr(layer, name, None)
                if variable is not None:
                    rows = _repeat(owner, f"{name}_{index}", variable, steps + 1)
                    self._rows.append((variable, rows))

    def overrides(
        self, step: int | tf.Tensor
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Returns each scale and shift variable with its value at `step`."""
        row = row_of_step(step, self._last)
        return [(v, tf.convert_to_tensor(rows)[row]) for v, rows in self._rows]

    def install(self, step: int, learner: keras.Model, copy: keras.Model) -> None:
        """Assigns the scales and shifts at `step` to a copy of `learner`."""
        rows = {id(v): row for v, row in self.overrides(step)}
        for source, target in zip(learner.variables, copy.variables, strict=True):
            if id(source) in rows:
                target.assign(rows[id(source)])


def row_of_step(step: int | tf.Tensor, last: int) -> int | tf.Tensor:
    """Returns the row of per-step variables that is used at an inner step."""
    return tf.minimum(step, last) if tf.is_tensor(step) else min(step, last)


def _repeat(
    owner: keras.layers.Layer, name: str, variable: keras.Variable, count: int
) -> keras.Variable:
    value = variable.numpy()
    return owner.add_weight(
        name=f"per_step_{name}",
        shape=(count, *value.shape),
        dtype=variable.dtype,
        trainable=variable.trainable,
        initializer=lambda shape, dtype=None: tf.broadcast_to(
            tf.cast(value, dtype), shape
        ),
    )
