"""Validation of episodes, losses and constructor arguments."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.shapes import require_same_rank
from keras_metaloss.adaptation import Adaptation, Task
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.losses._core.traits import traits_of
from keras_metaloss.models.meta._episodes import as_tensor, task_tensors

__all__ = [
    "check_episodes",
    "check_length",
    "check_losses",
    "check_parts",
    "check_task",
]


def check_parts(learner: Any, adaptation: Any) -> None:
    """Validates the constructor arguments of a `MetaModel`."""
    if not isinstance(learner, keras.Model):
        raise ValueError(
            "Invalid value for argument `learner`. Expected a Keras model. "
            f"Received: learner={learner!r}"
        )
    if not learner.built or not learner.trainable_variables:
        raise ValueError(
            "Invalid value for argument `learner`. Expected a built model with "
            "trainable weights: start it with `keras.Input`, or call it once on a "
            f"batch of inputs. Received: learner={learner.name!r} with "
            f"built={learner.built} and {len(learner.trainable_variables)} trainable "
            "weights"
        )
    if not isinstance(adaptation, Adaptation):
        raise ValueError(
            "Invalid value for argument `adaptation`. Expected an instance of "
            f"`kml.adaptation.Adaptation`. Received: adaptation={adaptation!r}"
        )


def check_length(x: Any, name: str, steps: int | None, argument: str = "x") -> None:
    """Validates that the number of batches is finite.

    Args:
        x: The data passed to `fit`, `evaluate` or `predict`.
        name: Name of the argument that limits the number of batches.
        steps: Value of that argument.
        argument: Name of the argument that holds `x`. Defaults to `"x"`.

    Raises:
        ValueError: If `x` is a source of tasks instead of a dataset of episodes, or
            an infinite dataset without `steps`.
    """
    if callable(getattr(x, "dataset", None)):
        raise ValueError(
            f"Invalid value for argument `{argument}`. Expected episodes. Call "
            f"`{argument}.dataset(tasks_per_batch)` to create a dataset of them. "
            f"Received: {argument}={x!r}"
        )
    endless = isinstance(x, tf.data.Dataset) and (
        int(x.cardinality()) == tf.data.INFINITE_CARDINALITY
    )
    if endless and steps is None:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected an integer, because the "
            f"dataset in `{argument}` is infinite. Received: {name}=None"
        )


def check_episodes(episode: dict[str, Any], query_y: Any) -> None:
    """Validates the shapes, masks and values of a batch of episodes.

    Args:
        episode: A batch of episodes.
        query_y: Targets of the queries, or `None`.

    Raises:
        ValueError: If shapes do not match, a mask leaves a task without examples, or
            values are not finite.
    """
    episode = task_tensors(episode)
    support = keras.tree.flatten(episode["support_x"])
    targets = keras.tree.flatten(episode["support_y"])
    queries = keras.tree.flatten(episode["query_x"])
    query_targets = [] if query_y is None else keras.tree.flatten(query_y)
    _check_leading("support_y", targets, "support_x", support[0])
    _check_leading("query_y", query_targets, "query_x", queries[0])
    _check_leading(
        "query_x", [q[:, :1] for q in queries], "support_x", support[0][:, :1]
    )
    _check_mask("support_mask", episode.get("support_mask"), "support_x", support[0])
    _check_mask("query_mask", episode.get("query_mask"), "query_x", queries[0])
    for name, tensors in (
        ("support_x", support),
        ("support_y", targets),
        ("query_x", queries),
        ("query_y", query_targets),
    ):
        for tensor in tensors:
            _check_finite(name, tensor)


def check_task(task: Task) -> None:
    """Validates the support set of one task.

    Raises:
        ValueError: If shapes do not match or values are not finite.
    """
    parts = {
        "support_x": task.support_x,
        "support_y": task.support_y,
        "query_x": task.query_x,
    }
    if task.support_mask is not None:
        parts["support_mask"] = task.support_mask
    check_episodes(keras.tree.map_structure(lambda t: t[tf.newaxis], parts), None)


def check_losses(
    learner: keras.Model,
    model: keras.Model,
    support_loss: InnerLoss | None,
    query_loss: InnerLoss | None,
    episode: dict[str, Any],
    query_y: Any,
) -> None:
    """Validates that the losses accept predictions and targets, by evaluating them.

    Args:
        learner: The learner.
        model: The `MetaModel`, for methods whose outputs depend on the task.
        support_loss: The inner loss, or `None` for methods without one.
        query_loss: The outer loss of one task, or `None`.
        episode: A batch of episodes.
        query_y: Targets of the queries, or `None`.

    Raises:
        ValueError: If a loss raises an error or would broadcast the targets.
    """
    if support_loss is not None and not support_loss.requires:
        outputs = _predict_first(learner, episode["support_x"])
        _check_loss(support_loss, outputs, episode["support_y"], "support_y")
    # A loss that needs more than targets and predictions cannot be evaluated here.
    if query_y is None or query_loss is None or query_loss.requires:
        return
    if support_loss is None:
        # The number of classes in the output may differ between tasks.
        outputs = _predict_first(model, episode)
        query_y = keras.tree.map_structure(lambda t: t[:1], query_y)
    else:
        outputs = _predict_first(learner, episode["query_x"])
    _check_loss(query_loss, outputs, query_y, "query_y")


def _predict_first(model: keras.Model, x: Any) -> Any:
    """Returns the predictions for the first task of `x`, of shape `[T, ...]`."""
    # Out-of-range labels raise an error on CPUs but silently give NaN on GPUs.
    with tf.device("CPU:0"):
        if isinstance(x, dict) and "support_x" in x:
            episode = keras.tree.map_structure(lambda t: t[:1], task_tensors(x))
            outputs = model(episode, training=False)
            return keras.tree.map_structure(lambda t: t[0], outputs)
        first = keras.tree.map_structure(lambda t: as_tensor(t)[0], x)
        return model(first, training=False)


def _check_loss(loss: InnerLoss, outputs: Any, y: Any, name: str) -> None:
    """Validates that a loss accepts the predictions and targets.

    Args:
        loss: The loss of one task.
        outputs: Predictions for the first task, `[N, ...]`.
        y: Targets of all tasks, `[T, N, ...]`. Every task is checked against the
            predictions for the first one.
        name: Name of the targets in the error message.

    Raises:
        ValueError: If the loss raises an error or would broadcast the targets.
    """
    y = keras.tree.map_structure(tf.convert_to_tensor, y)
    tasks = keras.tree.flatten(y)[0].shape[0]
    y = keras.tree.map_structure(lambda t: tf.reshape(t, [-1, *t.shape[2:]]), y)
    outputs = keras.tree.map_structure(lambda t: tf.concat([t] * tasks, 0), outputs)
    with tf.device("CPU:0"):
        try:
            loss(y, outputs, None, [])
            for output_loss, _, target, output in loss.pairs(y, outputs):
                if traits_of(output_loss).elementwise:
                    _check_same_shape(*require_same_rank(target, output))
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected targets that match the "
                f"loss and the output of the learner. Received: {name} with "
                f"{_describe(y)}; learner output with {_describe(outputs)}. Error from "
                f"the loss: {_first_line(error)}"
            ) from error


def _check_same_shape(y_true: tf.Tensor, y_pred: tf.Tensor) -> None:
    if not y_true.shape.is_compatible_with(y_pred.shape):
        raise ValueError(
            "targets and predictions have different shapes, and the loss would "
            "broadcast them."
        )


def _describe(structure: Any) -> str:
    """Returns the shapes and ranges of values of all tensors, for error messages."""
    return ", ".join(
        f"shape {tuple(t.shape)} and values from {np.min(t):.4g} to {np.max(t):.4g}"
        for t in keras.tree.flatten(structure)
    )


def _first_line(error: Exception) -> str:
    """Returns the first lines of an error message, joined to one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])


def _check_leading(
    name: str, tensors: list[tf.Tensor], other_name: str, other: tf.Tensor
) -> None:
    for tensor in tensors:
        if tuple(tensor.shape[:2]) != tuple(other.shape[:2]):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected `{name}` and "
                f"`{other_name}` to have the same first two axes (tasks and examples). "
                "Received: "
                f"{name}.shape={tuple(tensor.shape)}, "
                f"{other_name}.shape={tuple(other.shape)}"
            )


def _check_mask(name: str, mask: Any, other_name: str, other: tf.Tensor) -> None:
    if mask is None:
        return
    if tuple(mask.shape) != tuple(other.shape[:2]):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected the first two axes of "
            f"`{other_name}` (tasks and examples) as its shape. Received: "
            f"{name}.shape={tuple(mask.shape)}, "
            f"{other_name}.shape={tuple(other.shape)}"
        )
    if not np.asarray(mask).any(axis=1).all():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected at least 1 example per "
            "task to be `True`. Received: a task with 0 examples"
        )


def _check_finite(name: str, tensor: tf.Tensor) -> None:
    array = np.asarray(tensor)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected finite values. Received: "
            f"{name} with {count} NaN or infinite values"
        )
