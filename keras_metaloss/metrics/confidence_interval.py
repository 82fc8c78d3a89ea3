"""Confidence interval of the mean of a metric over tasks."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["ConfidenceInterval", "per_task_results"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ConfidenceInterval(keras.metrics.Metric):
    """Half-width of the 95 % confidence interval of a mean over tasks.

    `1.96 * s / sqrt(n)` for the values of `n` tasks, where `s` is their sample standard
    deviation (denominator `n - 1`). The result is 0 for a single task.

    Args:
        name: Name of the metric. Defaults to `"confidence_interval"`.
        dtype: Dtype of the result. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        values: One value per task, of shape `[T]`.
        sample_weight: Ignored.

    Example:

    >>> interval = ConfidenceInterval()
    >>> interval.update_state([0.0, 1.0, 1.0, 0.0])
    >>> round(float(interval.result()), 4)
    0.5658
    """

    def __init__(
        self, name: str = "confidence_interval", dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        # Sums can be added across replicas. They are float64, because the variance is
        # a difference of sums.
        self.count = self.add_variable((), "zeros", dtype="float64", name="count")
        self.total = self.add_variable((), "zeros", dtype="float64", name="total")
        self.squares = self.add_variable((), "zeros", dtype="float64", name="squares")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Accumulates one value per task, `[T]`."""
        values = tf.reshape(tf.cast(values, tf.float64), [-1])
        self.count.assign_add(tf.cast(tf.size(values), tf.float64))
        self.total.assign_add(tf.reduce_sum(values))
        self.squares.assign_add(tf.reduce_sum(tf.square(values)))

    def result(self) -> tf.Tensor:
        count = tf.convert_to_tensor(self.count)
        mean = tf.math.divide_no_nan(self.total, count)
        squares = tf.maximum(self.squares - count * tf.square(mean), 0.0)
        variance = tf.math.divide_no_nan(squares, tf.maximum(count - 1.0, 0.0))
        half_width = 1.96 * tf.sqrt(tf.math.divide_no_nan(variance, count))
        return tf.cast(half_width, self.dtype)


def per_task_results(
    metric: keras.metrics.Metric, y_true: Any, y_pred: Any, mask: Any = None
) -> Any:
    """Computes the results of `metric` for each task separately.

    Args:
        metric: A built Keras metric. Its state does not change.
        y_true: Targets of shape `[T, Q, ...]`, or a structure of such tensors.
        y_pred: Predictions of shape `[T, Q, ...]`, or a structure of such tensors.
        mask: Boolean tensor of shape `[T, Q]`, `True` for examples to include. Defaults
            to `None`, which includes all examples.

    Returns:
        The structure of `metric.result()`, with values of shape `[T]`.
    """

    def one_task(elements: dict[str, Any]) -> Any:
        y_pred = elements["y_pred"]
        if "mask" in elements:
            for tensor in keras.tree.flatten(y_pred):
                _compat.set_keras_mask(tensor, elements["mask"])
        state = metric.stateless_reset_state()
        state = metric.stateless_update_state(state, elements["y_true"], y_pred)
        return metric.stateless_result(state)

    elements = {"y_true": y_true, "y_pred": y_pred}
    if mask is not None:
        elements["mask"] = tf.convert_to_tensor(mask)
    signature = keras.tree.map_structure(
        lambda value: tf.as_dtype(value.dtype), metric.result()
    )
    return tf.map_fn(one_task, elements, fn_output_signature=signature)
