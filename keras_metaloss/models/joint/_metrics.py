"""Metrics that a `JointModel` logs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.shapes import match_rank
from keras_metaloss.losses.joint._missing_labels import missing_labels
from keras_metaloss.losses.joint.mutual_information_loss import (
    JointLossTerms,
    MutualInformationLoss,
)

__all__ = ["JointMetrics", "mask_missing_labels"]


class JointMetrics:
    """Means over batches of losses, mutual information and entropies.

    The metrics are `loss_<task>`, `mutual_information` (the sum over pairs),
    `mutual_information_<a>_<b>` if there is more than one pair, and `entropy_<task>`.
    Losses are averaged over labels, the other metrics over examples.

    Args:
        loss: The compiled loss.
    """

    def __init__(self, loss: MutualInformationLoss) -> None:
        names = [f"loss_{task}" for task in loss.tasks] + ["mutual_information"]
        if len(loss.pairs) > 1:
            names += [f"mutual_information_{a}_{b}" for a, b in loss.pairs]
        if not callable(loss.estimator):
            names += [f"entropy_{task}" for task in loss.tasks]
        self._means = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics to be reset by Keras."""
        return list(self._means.values())

    def update(self, terms: JointLossTerms) -> None:
        """Updates the metrics with the terms of one batch."""
        for task, loss in terms.losses.items():
            self._means[f"loss_{task}"].update_state(loss.mean, loss.count)
        rows = tf.shape(terms.values)[0]
        information = list(terms.information.values())
        total = tf.add_n(information) if information else tf.zeros([])
        self._means["mutual_information"].update_state(total, rows)
        for (a, b), value in terms.information.items():
            name = f"mutual_information_{a}_{b}"
            if name in self._means:
                self._means[name].update_state(value, rows)
        for task, value in terms.entropies.items():
            self._means[f"entropy_{task}"].update_state(value, rows)


def mask_missing_labels(
    loss: MutualInformationLoss,
    y: Any,
    y_pred: dict[str, tf.Tensor],
    sample_weight: Any,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, Any] | None]:
    """Returns targets, predictions and weights for metrics over the present labels.

    Args:
        loss: The compiled loss.
        y: Targets of the tasks, by name or in order.
        y_pred: Outputs of the networks, by name.
        sample_weight: Weights `[N]`, one entry per task, or `None`.

    Returns:
        Zero-filled targets, predictions with a Keras mask, and weights, by name.
    """
    y = loss.by_task("y", y)
    y_pred, present = dict(y_pred), {}
    for name, task_loss in loss.losses.items():
        y[name], missing = missing_labels(task_loss, tf.convert_to_tensor(y[name]))
        y_pred[name] = tf.identity(y_pred[name])
        # As in the loss, a vector with a missing entry is missing.
        first_axis = max(1, y_pred[name].shape.rank - 1)
        axes = list(range(first_axis, missing.shape.rank))
        present[name] = ~tf.reduce_any(missing, axis=axes)
        _compat.set_keras_mask(y_pred[name], present[name])
    if sample_weight is None:
        return y, y_pred, None
    if not keras.tree.is_nested(sample_weight):
        sample_weight = dict.fromkeys(loss.tasks, sample_weight)
    weights = loss.by_task("sample_weight", sample_weight)
    spread = {
        name: weight if weight is None else _spread(weight, present[name])
        for name, weight in weights.items()
    }
    return y, y_pred, spread


def _spread(weight: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Broadcasts weights of examples to all labels of the examples."""
    weight = match_rank(tf.convert_to_tensor(weight), present)
    return weight * tf.ones_like(present, weight.dtype)
