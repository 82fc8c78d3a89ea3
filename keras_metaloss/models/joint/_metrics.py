"""Metrics that a `JointModel` logs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses._core.missing_labels import Labels, labels_of
from keras_metaloss.losses.joint.mutual_information_loss import (
    JointLossTerms,
    MutualInformationLoss,
)

__all__ = ["JointMetrics", "labels_by_task", "weights_by_task"]

# Reductions of the joint loss with the mean over the batch.
MEAN_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


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
        # Mean over examples of the sum of the losses; not logged.
        self._sum_of_losses = keras.metrics.Mean(name="sum_of_losses")
        self._tasks = loss.tasks
        self._is_mean = loss.reduction in MEAN_REDUCTIONS
        self._is_updated = False

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics to be reset by Keras; empty if `update` is not called.

        A model that overrides `compute_loss` may not compute the terms.
        """
        if not self._is_updated:
            return []
        return [*self._means.values(), self._sum_of_losses]

    def logged(self, results: dict[str, Any], *, evaluating: bool) -> dict[str, Any]:
        """Returns the results to log.

        In evaluation, `loss` is adjusted such that the losses of the tasks are means
        over all labels, whichever batches the labels are in.
        """
        results = dict(results)
        by_rows = results.pop(self._sum_of_losses.name, None)
        if evaluating and by_rows is not None and self._is_mean:
            by_labels = sum(results[f"loss_{task}"] for task in self._tasks)
            results["loss"] += by_labels - by_rows
        return results

    def update(self, terms: JointLossTerms) -> None:
        """Updates the metrics with the terms of one batch."""
        self._is_updated = True
        for task, loss in terms.losses.items():
            self._means[f"loss_{task}"].update_state(loss.mean, loss.count)
        rows = tf.shape(terms.values)[0]
        total_loss = tf.add_n([loss.mean for loss in terms.losses.values()])
        self._sum_of_losses.update_state(total_loss, rows)
        information = list(terms.information.values())
        total = tf.add_n(information) if information else tf.zeros([])
        self._means["mutual_information"].update_state(total, rows)
        for (a, b), value in terms.information.items():
            name = f"mutual_information_{a}_{b}"
            if name in self._means:
                self._means[name].update_state(value, rows)
        for task, value in terms.entropies.items():
            self._means[f"entropy_{task}"].update_state(value, rows)


def labels_by_task(
    loss: MutualInformationLoss, y: Any, y_pred: dict[str, tf.Tensor]
) -> dict[str, Labels]:
    """Returns targets and masks of the tasks, for metrics over the present labels.

    Args:
        loss: The compiled loss.
        y: Targets of the tasks, by name or in order.
        y_pred: Outputs of the networks, by name.
    """
    y = loss.by_task("y", y)
    return {
        name: labels_of(task_loss, y[name], y_pred[name])
        for name, task_loss in loss.losses.items()
    }


def weights_by_task(loss: MutualInformationLoss, sample_weight: Any) -> dict[str, Any]:
    """Returns the sample weights of the tasks; entries may be `None`."""
    if sample_weight is None or not keras.tree.is_nested(sample_weight):
        return dict.fromkeys(loss.tasks, sample_weight)
    return loss.by_task("sample_weight", sample_weight)
