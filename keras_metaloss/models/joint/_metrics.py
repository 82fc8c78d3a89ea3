"""Metrics that a `JointModel` logs."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss.losses.joint.mutual_information_loss import (
    JointLossTerms,
    MutualInformationLoss,
)

__all__ = ["JointMetrics"]


class JointMetrics:
    """Means over batches of losses, mutual information and entropies.

    The metrics are `loss_<task>`, `mutual_information` (the sum over pairs),
    `mutual_information_<a>_<b>` if there is more than one pair, and `entropy_<task>`.
    Losses are averaged over labels, all others over examples.

    Args:
        loss: the compiled loss.
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
        """Updates the metrics with a batch and returns their results."""
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
