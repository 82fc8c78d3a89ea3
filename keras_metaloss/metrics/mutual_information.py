"""Mutual information of targets and predictions as streaming Keras metrics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.checks import check_positive_integer
from keras_metaloss.information._samples import check_same_length
from keras_metaloss.information.entropy import entropy_plug_in

__all__ = ["MutualInformation", "NormalizedMutualInformation"]


class _Counts(keras.metrics.Metric):
    """Counts how often each true class meets each predicted class."""

    def __init__(self, num_classes: int | tuple[int, int], name: str | None, dtype):
        super().__init__(name=name, dtype=dtype)
        pair = num_classes if isinstance(num_classes, (tuple, list)) else [num_classes]
        sizes = [check_positive_integer("num_classes", size) for size in pair]
        if len(sizes) > 2 or not sizes:
            raise ValueError(
                "Invalid value for argument `num_classes`. Expected an integer or two. "
                f"Received: num_classes={num_classes!r}"
            )
        self.num_classes = num_classes
        self.sizes = (sizes[0], sizes[-1])
        # Counts stay exact far beyond what float32 holds.
        self.counts = self.add_variable(
            self.sizes, keras.initializers.Zeros(), dtype="float64", name="counts"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if predicted.dtype.is_floating:
            if predicted.shape[-1] != self.sizes[1]:
                raise ValueError(
                    "Expected `y_pred` to hold integer labels, or scores of shape "
                    f"[..., {self.sizes[1]}]. Received: y_pred.shape={predicted.shape}"
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
                f"Expected labels of `y_true` from 0 to {self.sizes[0] - 1} and of "
                f"`y_pred` from 0 to {self.sizes[1] - 1}. Received: other labels "
                f"among {int(tf.size(true))}"
            )
        # In a graph a wrong label shows as NaN, not as a sample left out.
        weight = tf.where(valid, weight, tf.constant(np.nan, weight.dtype))
        true = tf.clip_by_value(true, 0, self.sizes[0] - 1)
        predicted = tf.clip_by_value(predicted, 0, self.sizes[1] - 1)
        counts = tf.math.unsorted_segment_sum(
            weight, true * self.sizes[1] + predicted, self.sizes[0] * self.sizes[1]
        )
        self.counts.assign_add(tf.reshape(counts, self.sizes))

    def _entropies(self):
        """Entropies of targets, of predictions and of both; 0 before any sample."""
        counts = tf.convert_to_tensor(self.counts.value)
        total = tf.reduce_sum(counts)
        # NaN after a wrong label; without samples the entropies are 0.
        instead = tf.where(tf.equal(total, 0), tf.zeros_like(total), total)
        known = total > 0
        counts = tf.where(known, counts, tf.ones_like(counts))
        tables = (
            tf.reduce_sum(counts, axis=1),
            tf.reduce_sum(counts, axis=0),
            tf.reshape(counts, [-1]),
        )
        return [tf.where(known, entropy_plug_in(table), instead) for table in tables]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


def _weights(sample_weight, samples):
    if sample_weight is None:
        return tf.ones_like(samples, tf.float64)
    weight = tf.cast(tf.convert_to_tensor(sample_weight), tf.float64)
    if weight.shape.rank == 0:
        return tf.fill(tf.shape(samples), weight)
    return tf.reshape(weight, [-1])


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MutualInformation(_Counts):
    """Mutual information of true and predicted classes, in nats.

    `I = H(Y) + H(Y') - H(Y, Y')` of the counts over all batches since the last reset:
    the value of `kml.information.mutual_information_plug_in` for all samples at once.
    It does not care what predicted classes are called, so it judges clusters too.

    Args:
        num_classes: number of classes, or `(true, predicted)` numbers.
        name: name of the metric.
        dtype: dtype of the result.

    Call arguments:
        y_true: integer labels, `[N]` or `[N, 1]`.
        y_pred: scores `[N, K]`, of which the largest counts, or integer labels.
        sample_weight: `[N]`.

    Raises:
        ValueError: if `num_classes` is not positive, scores have another number of
            classes or, run eagerly, labels are out of range (in a graph: NaN).

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
        h_true, h_predicted, h_both = self._entropies()
        return tf.cast(tf.maximum(h_true + h_predicted - h_both, 0), self.dtype)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class NormalizedMutualInformation(_Counts):
    """Mutual information of true and predicted classes over their mean entropy.

    `NMI = 2 I(Y; Y') / (H(Y) + H(Y'))`, from 0 to 1: scikit-learn's
    `normalized_mutual_info_score` of all samples since the last reset. Where both
    sides are constant it is 1, as there.

    Args:
        num_classes: number of classes, or `(true, predicted)` numbers.
        name: name of the metric.
        dtype: dtype of the result.

    Call arguments:
        y_true: integer labels, `[N]` or `[N, 1]`.
        y_pred: scores `[N, K]`, of which the largest counts, or integer labels.
        sample_weight: `[N]`.

    Raises:
        ValueError: as `MutualInformation`.

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
        h_true, h_predicted, h_both = self._entropies()
        total = h_true + h_predicted
        information = tf.maximum(total - h_both, 0)
        known = total > 0
        ratio = 2 * information / tf.where(known, total, tf.ones_like(total))
        value = tf.where(tf.equal(total, 0), tf.ones_like(ratio), ratio)
        return tf.cast(value, self.dtype)
