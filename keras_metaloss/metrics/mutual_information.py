"""Streaming Keras metrics of mutual information between targets and predictions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.information._core.same_length import check_same_length
from keras_metaloss.information.samples.entropy import entropy_plug_in

__all__ = ["MutualInformation", "NormalizedMutualInformation"]


class _Counts(keras.metrics.Metric):
    """Base class: counts the pairs of true and predicted classes."""

    def __init__(
        self, num_classes: int | tuple[int, int], name: str | None, dtype: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        pair = num_classes if isinstance(num_classes, (tuple, list)) else [num_classes]
        sizes = [check_positive_integer("num_classes", size) for size in pair]
        if len(sizes) > 2 or not sizes:
            raise ValueError(
                "Invalid value for argument `num_classes`. Expected a positive integer "
                "or a pair of positive integers. "
                f"Received: num_classes={num_classes!r}"
            )
        self.num_classes = num_classes
        self.sizes = (sizes[0], sizes[-1])
        # float32 could not represent large counts exactly.
        self.counts = self.add_variable(
            self.sizes, keras.initializers.Zeros(), dtype="float64", name="counts"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if predicted.dtype.is_floating:
            if predicted.shape[-1] != self.sizes[1]:
                raise ValueError(
                    "Invalid value for argument `y_pred`. Expected integer labels, or "
                    f"scores of shape [..., {self.sizes[1]}]. "
                    f"Received: y_pred.shape={predicted.shape}"
                )
            predicted = tf.argmax(predicted, axis=-1)
        true = tf.cast(tf.reshape(true, [-1]), tf.int64)
        predicted = tf.cast(tf.reshape(predicted, [-1]), tf.int64)
        weight = _weights(sample_weight, true)
        check_same_length(y_true=true, y_pred=predicted, sample_weight=weight)
        valid = (true >= 0) & (true < self.sizes[0])
        valid &= (predicted >= 0) & (predicted < self.sizes[1])
        valid &= (tf.size(true) == tf.size(predicted)) & (
            tf.size(true) == tf.size(weight)
        )
        if tf.executing_eagerly() and not bool(tf.reduce_all(valid)):
            raise ValueError(
                "Invalid value for arguments `y_true` and `y_pred`. Expected integer "
                f"labels from 0 to {self.sizes[0] - 1} in `y_true` and from 0 to "
                f"{self.sizes[1] - 1} in `y_pred`. Received: labels out of range "
                f"among {int(tf.size(true))} examples"
            )
        # In graph mode, a label out of range makes the result NaN instead of being
        # ignored.
        weight = tf.where(valid, weight, tf.constant(np.nan, weight.dtype))
        true = tf.clip_by_value(true, 0, self.sizes[0] - 1)
        predicted = tf.clip_by_value(predicted, 0, self.sizes[1] - 1)
        counts = tf.math.unsorted_segment_sum(
            weight, true * self.sizes[1] + predicted, self.sizes[0] * self.sizes[1]
        )
        self.counts.assign_add(tf.reshape(counts, self.sizes))

    def _entropies(self) -> list[tf.Tensor]:
        """Returns the entropies of targets, predictions and pairs (0 if empty)."""
        counts = tf.convert_to_tensor(self.counts.value)
        total = tf.reduce_sum(counts)
        # The entropies are NaN after a label out of range, and 0 without samples.
        default = tf.where(tf.equal(total, 0), tf.zeros_like(total), total)
        is_valid = total > 0
        counts = tf.where(is_valid, counts, tf.ones_like(counts))
        tables = (
            tf.reduce_sum(counts, axis=1),
            tf.reduce_sum(counts, axis=0),
            tf.reshape(counts, [-1]),
        )
        return [tf.where(is_valid, entropy_plug_in(table), default) for table in tables]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


def _weights(sample_weight: Any, samples: tf.Tensor) -> tf.Tensor:
    if sample_weight is None:
        return tf.ones_like(samples, tf.float64)
    weight = tf.cast(tf.convert_to_tensor(sample_weight), tf.float64)
    if weight.shape.rank == 0:
        return tf.fill(tf.shape(samples), weight)
    return tf.reshape(weight, [-1])


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MutualInformation(_Counts):
    """Mutual information between true and predicted classes, in nats.

    `I = H(Y) + H(Y') - H(Y, Y')` of the counts over all batches since the last reset.
    The result equals `keras_metaloss.information.mutual_information_plug_in` of all
    samples. It does not depend on the order of the predicted classes, so the metric
    also evaluates clusterings.

    Args:
        num_classes: Number of classes, an integer or a pair `(true, predicted)` of
            integers.
        name: Name of the metric. Defaults to `"mutual_information"`.
        dtype: Dtype of the result. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Integer labels of shape `[N]` or `[N, 1]`.
        y_pred: Scores of shape `[N, K]`, whose argmax is the predicted label, or
            integer labels of shape `[N]` or `[N, 1]`.
        sample_weight: Scalar or tensor of shape `[N]`. Defaults to `None`.

    Raises:
        ValueError: If `num_classes` does not contain positive integers, if the scores
            do not have `K` columns or, in eager mode, if a label is out of range. In
            graph mode, a label out of range makes the result NaN.

    Example:

    >>> import keras_metaloss as kml
    >>> metric = kml.metrics.MutualInformation(num_classes=2)
    >>> metric.update_state([0, 0, 1, 1], [1, 1, 0, 0])
    >>> round(float(metric.result()), 4)                                  # log 2
    0.6931

    Reference:
        Cover and Thomas, "Elements of information theory", equation 2.45.
    """

    def __init__(
        self,
        num_classes: int | tuple[int, int],
        name: str | None = "mutual_information",
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes, name, dtype)

    def result(self) -> tf.Tensor:
        h_true, h_predicted, h_joint = self._entropies()
        return tf.cast(tf.maximum(h_true + h_predicted - h_joint, 0), self.dtype)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class NormalizedMutualInformation(_Counts):
    """Normalized mutual information between true and predicted classes.

    `NMI = 2 I(Y; Y') / (H(Y) + H(Y'))`, between 0 and 1. The result equals
    scikit-learn's `normalized_mutual_info_score` of all samples since the last reset.
    It is 1 if both targets and predictions are constant.

    Args:
        num_classes: Number of classes, an integer or a pair `(true, predicted)` of
            integers.
        name: Name of the metric. Defaults to `"normalized_mutual_information"`.
        dtype: Dtype of the result. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Integer labels of shape `[N]` or `[N, 1]`.
        y_pred: Scores of shape `[N, K]`, whose argmax is the predicted label, or
            integer labels of shape `[N]` or `[N, 1]`.
        sample_weight: Scalar or tensor of shape `[N]`. Defaults to `None`.

    Raises:
        ValueError: If `num_classes` does not contain positive integers, if the scores
            do not have `K` columns or, in eager mode, if a label is out of range. In
            graph mode, a label out of range makes the result NaN.

    Example:

    >>> import keras_metaloss as kml
    >>> metric = kml.metrics.NormalizedMutualInformation(num_classes=3)
    >>> metric.update_state([0, 0, 1, 1], [2, 2, 0, 0])
    >>> round(float(metric.result()), 4)
    1.0

    Reference:
        Vinh, Epps and Bailey, "Information theoretic measures for clusterings
        comparison", JMLR 11 (2010), `NMI_sum`.
    """

    def __init__(
        self,
        num_classes: int | tuple[int, int],
        name: str | None = "normalized_mutual_information",
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes, name, dtype)

    def result(self) -> tf.Tensor:
        h_true, h_predicted, h_joint = self._entropies()
        total = h_true + h_predicted
        information = tf.maximum(total - h_joint, 0)
        is_valid = total > 0
        ratio = 2 * information / tf.where(is_valid, total, tf.ones_like(total))
        value = tf.where(tf.equal(total, 0), tf.ones_like(ratio), ratio)
        return tf.cast(value, self.dtype)
