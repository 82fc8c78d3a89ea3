"""Batch normalisation with its own scale and shift for each inner step."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss.adaptation.normalization import batch_normalizations

__all__ = ["PerStepNormalization"]


class PerStepNormalization:
    """Holds one row a step of scale and shift of every batch normalisation.

    Row `k` serves the pass after `k` inner updates, so `steps + 1` rows exist; passes
    beyond them use the last. They are trained by the outer loop and left alone by the
    inner one.

    Args:
        owner: the layer that is to own the variables.
        learner: a built Keras model.
        steps: number of inner updates.

    Reference:
        Antoniou et al., "How to train your MAML", 2019, section 4 (BNWB). Its moving
        averages of each step (BNRS) are not kept: they fit no single task, and the
        authors' code takes the moments of the batch in tests too.
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

    def overrides(self, step: int) -> list[tuple[keras.Variable, tf.Tensor]]:
        """What each scale and shift of the learner is worth at `step`."""
        row = min(step, self._last)
        return [(v, tf.convert_to_tensor(rows)[row]) for v, rows in self._rows]


def _repeat(owner, name, variable, count):
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
