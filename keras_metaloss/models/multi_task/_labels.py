"""Labels of the tasks: masks of missing ones, their losses and their number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.shapes import append_axes
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.missing_labels import (
    Labels,
    call_labeled_loss,
    labels_of,
)
from keras_metaloss.models._shared.first_rows import check_targets
from keras_metaloss.models.multi_task._checks import check_entries, check_outputs_exist

__all__ = [
    "check_first_labels",
    "labeled_losses",
    "labels_by_task",
    "numbers_of_labels",
]


def labels_by_task(
    losses: Mapping[str, keras.losses.Loss],
    y: dict[str, Any],
    y_pred: dict[str, Any],
) -> dict[str, Labels]:
    """Returns the labels of each task.

    Args:
        losses: Losses of the tasks.
        y: Targets, by output name.
        y_pred: Predictions, by output name.

    Raises:
        ValueError: If the target or prediction of a task is missing, or if a target
            belongs to no output.
    """
    check_entries("outputs", y_pred, losses)
    check_entries("y", y, losses)
    check_outputs_exist("y", y, y_pred)
    return {
        task: labels_of(loss, y[task], y_pred[task]) for task, loss in losses.items()
    }


def check_first_labels(
    losses: Mapping[str, keras.losses.Loss],
    y: dict[str, Any],
    y_pred: dict[str, Any],
) -> None:
    """Raises a `ValueError` for targets that the losses of the tasks cannot use."""
    labels_by_task(losses, y, y_pred)
    for task, loss in losses.items():
        check_targets(f"y[{task!r}]", loss, y[task], y_pred[task])


def labeled_losses(
    losses: Mapping[str, keras.losses.Loss],
    y: dict[str, Any],
    y_pred: dict[str, Any],
    sample_weight: Mapping[str, Any],
    context: LossContext,
) -> list[tf.Tensor]:
    """Computes the loss of each task over the labels that are present, scalars.

    Args:
        losses: Losses of the tasks.
        y: Targets, by output name.
        y_pred: Predictions, by output name.
        sample_weight: Weights of the tasks; entries may be missing.
        context: Additional inputs of the losses.

    Raises:
        ValueError: If the target or prediction of a task is missing, or a loss does
            not return a scalar.
    """
    labels, values = labels_by_task(losses, y, y_pred), []
    for task, loss in losses.items():
        value = call_labeled_loss(
            loss, labels[task], y_pred[task], sample_weight.get(task), context
        )
        if value.shape.rank != 0:
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss that returns a "
                f"scalar for task {task!r}. Received: "
                f"loss.reduction={loss.reduction!r}, which returns the shape "
                f"{tuple(value.shape)}"
            )
        values.append(value)
    return values


def numbers_of_labels(
    losses: Mapping[str, keras.losses.Loss],
    labels: Mapping[str, Labels],
    sample_weight: Mapping[str, Any],
    rows: tf.Tensor,
) -> list[tf.Tensor]:
    """Returns the number that the loss of each task is divided by, scalars.

    Means over batches with these weights are means over all labels.

    Args:
        losses: Losses of the tasks.
        labels: Labels of the tasks.
        sample_weight: Weights of the tasks; entries may be missing.
        rows: Number of examples of the batch.
    """
    return [
        _number_of_labels(loss, labels[task], sample_weight.get(task), rows)
        for task, loss in losses.items()
    ]


def _number_of_labels(
    loss: keras.losses.Loss, labels: Labels, sample_weight: Any, rows: tf.Tensor
) -> tf.Tensor:
    rows = tf.cast(rows, tf.float32)
    weighted = loss.reduction == "mean_with_sample_weight" and sample_weight is not None
    if loss.reduction == "sum" or (labels.counted is None and not weighted):
        return rows
    counted = tf.fill([tf.cast(rows, tf.int32)], 1.0)
    if labels.counted is not None:
        counted = tf.cast(labels.counted, tf.float32)
    if weighted:
        sample_weight = tf.cast(sample_weight, tf.float32)
        counted = append_axes(counted, sample_weight.shape.rank)
        counted *= append_axes(sample_weight, counted.shape.rank)
    return tf.reduce_sum(counted)
