"""Statistics used by batch normalization within an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.exact_operations import moments
from keras_metaloss._utils.pass_scope import PassScope

__all__ = [
    "BatchMoments",
    "NORMALIZATIONS",
    "batch_normalizations",
    "update_moving_averages",
]

NORMALIZATIONS = ("support", "batch", "moving", "per_step")


def batch_normalizations(
    learner: keras.Model,
) -> list[keras.layers.BatchNormalization]:
    """Returns the batch normalization layers of a learner, including nested ones."""
    return [
        layer
        for layer in _compat.flatten_layers(learner)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


class BatchMoments:
    """Normalizes all rows of a batch with the statistics of selected rows.

    Args:
        rows: Number of leading rows whose statistics are used. `None` uses all rows.
            Defaults to `None`.
        mask: `[N]`, `True` for the leading rows to include. `None` includes all.
            Defaults to `None`.
        from_batch: Whether to use the statistics of these rows in evaluation too. If
            `False`, evaluation uses the moving averages.
    """

    def __init__(
        self,
        rows: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        *,
        from_batch: bool,
    ) -> None:
        self.rows = rows
        self.mask = mask
        self.from_batch = from_batch
        self.collected: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}
        self.updates: list[tuple[keras.Variable, tf.Tensor, float]] = []

    def scope(
        self,
        learner: keras.Model,
        mapping: Sequence[tuple[keras.Variable, tf.Tensor]] = (),
        **options: Any,
    ) -> PassScope:
        """Returns a scope in which `learner` normalizes with these statistics.

        Args:
            learner: Model that is called in the scope.
            mapping: Pairs of variables and values. Defaults to `()`.
            **options: Other arguments of the scope.
        """
        calls = {keras.layers.BatchNormalization: self._call}
        return PassScope(learner, mapping, calls=calls, **options)

    def install(self, learner: keras.Model, copy: keras.Model) -> None:
        """Assigns the statistics of `learner` to the moving averages of a copy."""
        pairs = zip(
            batch_normalizations(learner), batch_normalizations(copy), strict=True
        )
        for layer, copied in pairs:
            if id(layer) in self.collected:
                mean, variance = self.collected[id(layer)]
                copied.moving_mean.assign(mean)
                copied.moving_variance.assign(variance)

    def _call(
        self,
        layer: keras.layers.BatchNormalization,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        if not (layer.trainable and (self.from_batch or training)):
            return type(layer).call(layer, inputs, training=False, mask=mask)
        _check_no_renorm(layer)
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        inputs = tf.cast(inputs, dtype)
        if mask is None and self._fits_fused_operation(layer, inputs):
            outputs, mean, variance = _fused(layer, inputs)
        else:
            mean, variance = self._moments(layer, inputs, mask)
            outputs = _normalize(layer, inputs, mean, variance)
        self.collected[id(layer)] = (mean, variance)
        if training:
            updates = [
                (layer.moving_mean, mean, layer.momentum),
                (layer.moving_variance, variance, layer.momentum),
            ]
            self.updates += updates
            for statistic, value, momentum in updates:
                _update_moving_average(statistic, value, momentum)
        return keras.ops.cast(outputs, layer.compute_dtype)

    def _fits_fused_operation(
        self, layer: keras.layers.Layer, inputs: tf.Tensor
    ) -> bool:
        whole_batch = self.rows is None and self.mask is None
        images = inputs.shape.rank == 4 and layer.axis in (3, -1)
        plain = layer.scale and layer.center and inputs.dtype == tf.float32
        return whole_batch and images and plain

    def _moments(
        self, layer: keras.layers.Layer, inputs: tf.Tensor, mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rank = len(inputs.shape)
        axes = [axis for axis in range(rank) if axis != layer.axis % rank]
        if self.rows is not None:
            inputs = inputs[: self.rows]
            mask = None if mask is None else mask[: self.rows]
        weights = self._weights(layer, inputs, mask)
        if weights is None:
            return moments(inputs, axes)
        weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights))
        mean = tf.reduce_sum(weights * inputs, axes, keepdims=True)
        variance = tf.reduce_sum(weights * tf.square(inputs - mean), axes)
        return tf.reshape(mean, tf.shape(variance)), variance

    def _weights(
        self, layer: keras.layers.Layer, inputs: tf.Tensor, mask: tf.Tensor | None
    ) -> tf.Tensor | None:
        """Returns 1 for values to include, 0 for others; 1 on the normalized axis.

        Args:
            layer: The layer.
            inputs: Inputs of the selected rows, `[N, ..., C]`.
            mask: Keras mask of these inputs, `[N, ...]`, or `None`.
        """
        rank = len(inputs.shape)
        shape = tf.shape(inputs)
        weights = None
        if self.mask is not None:
            rows = tf.reshape(tf.cast(self.mask, inputs.dtype), [-1] + [1] * (rank - 1))
            weights = rows
        if mask is not None:
            # The mask lacks the last axis of the inputs, as in Keras.
            steps = tf.cast(mask, inputs.dtype)[..., tf.newaxis]
            weights = steps if weights is None else weights * steps
        if weights is None:
            return None
        # All axes but the normalized one have their full length, for the sum.
        ones = tf.one_hot(layer.axis % rank, rank, on_value=0, off_value=1)
        full = tf.where(tf.cast(ones, bool), shape, tf.ones_like(shape))
        return tf.broadcast_to(weights, tf.maximum(full, tf.shape(weights)))


def _check_no_renorm(layer: keras.layers.BatchNormalization) -> None:
    if getattr(layer, "renorm", False):
        raise ValueError(
            "Invalid value for argument `learner`. Expected batch normalization with "
            "`renorm=False`: the corrections of renormalization belong to moving "
            "averages, which do not match the statistics of a single task. Received: "
            f"layer {layer.name!r} with renorm=True"
        )


def _fused(
    layer: keras.layers.Layer, inputs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes with one operation that has correct second derivatives."""
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs,
        tf.convert_to_tensor(layer.gamma),
        tf.convert_to_tensor(layer.beta),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The operation divides the variance by n - 1; Keras divides by n.
    count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
    return outputs, mean, variance * (count - 1.0) / count


def _normalize(
    layer: keras.layers.Layer, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor
) -> tf.Tensor:
    return keras.ops.batch_normalization(
        inputs,
        mean,
        variance,
        axis=layer.axis,
        offset=keras.ops.cast(layer.beta, inputs.dtype) if layer.center else None,
        scale=keras.ops.cast(layer.gamma, inputs.dtype) if layer.scale else None,
        epsilon=layer.epsilon,
    )


def update_moving_averages(moments: BatchMoments) -> None:
    """Updates moving averages as the pass with these statistics did."""
    for statistic, value, momentum in moments.updates:
        _update_moving_average(statistic, value, momentum)


def _update_moving_average(
    statistic: keras.Variable, value: tf.Tensor, momentum: float
) -> None:
    old = tf.cast(tf.convert_to_tensor(statistic), value.dtype)
    statistic.assign(old * momentum + value * (1.0 - momentum))
