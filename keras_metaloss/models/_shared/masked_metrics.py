"""Updates of compiled metrics over the labels that are present."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.shapes import append_axes, match_rank
from keras_metaloss.losses._core.missing_labels import Labels
from keras_metaloss.models._shared.single_trace import SingleTraceMixin

__all__ = ["update_masked_metrics"]


def update_masked_metrics(
    model: SingleTraceMixin, labels: Any, y_pred: Any, sample_weight: Any
) -> None:
    """Updates compiled metrics; labels that are missing or ignored do not count.

    Keras applies masks in metrics that are means of a function only. Here, they become
    weights, which every metric applies.

    Args:
        model: Model with compiled metrics, or without.
        labels: `Labels` of the outputs, in the structure of the outputs.
        y_pred: Predictions.
        sample_weight: Weights of the examples or labels, in the structure of the
            outputs, for `weighted_metrics`. Entries may be `None`.
    """
    metrics = _compat.compiled_metrics(model)
    if metrics is None:
        return
    targets = keras.tree.map_structure(lambda entry: entry.y_true, labels)
    model.build_metrics(targets, y_pred)
    for plain, weighted, output, weight, target in _compat.metrics_by_output(
        metrics, y_pred, sample_weight, labels
    ):
        for metric in plain:
            _update(metric, target, output, None)
        for metric in weighted:
            _update(metric, target, output, weight)


def _update(
    metric: keras.metrics.Metric, labels: Labels, y_pred: tf.Tensor, weight: Any
) -> None:
    mask = labels.counted
    y_true = labels.y_true
    if mask is None:
        metric.update_state(y_true, y_pred, sample_weight=weight)
        return
    if labels.ignored is not None:
        # A class that is ignored may be out of range.
        ignored = append_axes(labels.ignored, y_true.shape.rank)
        y_true = tf.where(ignored, tf.zeros_like(y_true), y_true)
    present = tf.cast(mask, metric.dtype)
    if weight is not None:
        weight = match_rank(
            tf.cast(tf.convert_to_tensor(weight), metric.dtype), present
        )
        present *= weight
    is_mean = isinstance(metric, keras.metrics.MeanMetricWrapper)
    is_keras = type(metric).__module__.startswith("keras.")
    if mask.shape.rank > 1 and is_keras and not is_mean:
        # Means of a function and custom metrics get their usual shapes.
        y_true, y_pred, present = _flat(y_true, y_pred, present)
    metric.update_state(y_true, y_pred, sample_weight=present)


def _flat(
    y_true: tf.Tensor, y_pred: tf.Tensor, weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Flattens the axes of the labels, for metrics that expect one row per label."""
    rank = weight.shape.rank
    return (
        _flat_rows(y_true, rank),
        _flat_rows(y_pred, rank),
        tf.reshape(weight, [-1]),
    )


def _flat_rows(tensor: tf.Tensor, rank: int) -> tf.Tensor:
    shape = tf.concat([[-1], tf.shape(tensor)[rank:]], axis=0)
    return tf.reshape(tensor, shape)
