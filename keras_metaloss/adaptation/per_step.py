"""Batch normalisation with its own statistics, scale and shift for each inner step."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss.adaptation.normalization import batch_normalizations

__all__ = ["PerStepNormalization"]

_STATISTICS = ("moving_mean", "moving_variance")
_AFFINE = ("gamma", "beta")


class PerStepNormalization:
    """Holds one row a step of every batch normalisation variable of a learner.

    Row `k` serves the pass after `k` inner updates, so `steps + 1` rows exist; passes
    beyond them use the last. Statistics follow the batches as in Keras; scale and
    shift are trained by the outer loop and are left alone by the inner one.

    Args:
        owner: the layer that is to own the variables.
        learner: a built Keras model.
        steps: number of inner updates.

    Reference:
        Antoniou et al., "How to train your MAML", 2019, section 4 (BNRS and BNWB).
    """

    def __init__(
        self, owner: keras.layers.Layer, learner: keras.Model, steps: int
    ) -> None:
        self._last = steps
        self._rows: list[tuple[keras.Variable, keras.Variable]] = []
        for index, layer in enumerate(batch_normalizations(learner)):
            for name in (*_STATISTICS, *_AFFINE):
                variable = getattr(layer, name, None)
                if variable is not None:
                    rows = _repeat(owner, f"{name}_{index}", variable, steps + 1)
                    self._rows.append((variable, rows))

    @property
    def statistics(self) -> list[keras.Variable]:
        """Variables `[steps + 1, ...]` that follow the batches."""
        return [rows for _, rows in self._rows if not rows.trainable]

    def overrides(
        self, statistics: list[tf.Tensor], step: int
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        """What each variable of the learner is worth at `step`."""
        row = min(step, self._last)
        left = iter(statistics)
        return [
            (
                variable,
                tf.convert_to_tensor(rows)[row] if rows.trainable else next(left)[row],
            )
            for variable, rows in self._rows
        ]

    def updated(
        self, statistics: list[tf.Tensor], step: int, written: dict[int, tf.Tensor]
    ) -> list[tf.Tensor]:
        """The statistics with row `step` replaced by what the pass has written."""
        row = min(step, self._last)
        sources = [variable for variable, rows in self._rows if not rows.trainable]
        return [
            tf.tensor_scatter_nd_update(old, [[row]], [written[id(variable)]])
            for variable, old in zip(sources, statistics, strict=True)
        ]


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
