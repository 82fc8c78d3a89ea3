"""Conversion and validation of episode dictionaries."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.adaptation import Task
from keras_metaloss.adaptation.inner_loss import InnerLoss
from keras_metaloss.same_rank import same_rank

__all__ = [
    "as_task",
    "as_x_y",
    "check_episodes",
    "check_length",
    "check_loss",
    "episode_spec",
    "first_batch",
    "predict_first",
    "task_count",
    "task_tensors",
]

_REQUIRED = ("support_x", "support_y", "query_x")
_OPTIONAL = ("support_mask", "query_mask")
# Keras losses (alone or wrapped in a loss object) that broadcast targets silently.
_ELEMENT_BY_ELEMENT = (
    keras.losses.binary_crossentropy,
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.poisson,
)


def task_count(episode: dict[str, Any]) -> tf.Tensor:
    """Returns the number of tasks in a batch."""
    return tf.shape(keras.tree.flatten(episode["query_x"])[0])[0]


def task_tensors(episode: dict[str, Any]) -> dict[str, Any]:
    """Converts an episode to tensors and drops entries that are `None`.

    Raises:
        ValueError: If entries are missing or unknown.
    """
    if not isinstance(episode, dict):
        raise ValueError(
            "Expected an episode, which is a dictionary with the keys "
            f"{_REQUIRED}. Received: a value of type {type(episode).__name__}"
        )
    missing = [key for key in _REQUIRED if key not in episode]
    unknown = [key for key in episode if key not in _REQUIRED + _OPTIONAL]
    if missing or unknown:
        raise ValueError(
            f"Expected an episode with the keys {_REQUIRED} and, optionally, "
            f"{_OPTIONAL}. Received: keys={tuple(episode)}"
        )
    return {
        key: keras.tree.map_structure(_as_tensor, value)
        for key, value in episode.items()
        if value is not None
    }


def _as_tensor(value):
    """Converts to a tensor; casts floating-point values to `floatx()`."""
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype.is_floating:
        return tf.cast(tensor, keras.config.floatx())
    return tensor


def episode_spec(tensors: dict[str, Any]) -> dict[str, Any]:
    """Returns specs of an episode, for any number of tasks and examples."""
    return keras.tree.map_structure(
        lambda t: keras.KerasTensor((None, None, *t.shape[2:]), t.dtype.name),
        {key: tensors[key] for key in _REQUIRED},
    )


def as_task(support_x: Any, support_y: Any, support_mask: Any = None) -> Task:
    """Builds a task that uses its support set as the query set.

    Raises:
        ValueError: If shapes do not match or values are not finite.
    """
    x, y = keras.tree.map_structure(_as_tensor, (support_x, support_y))
    mask = None if support_mask is None else tf.convert_to_tensor(support_mask)
    parts = {"support_x": x, "support_y": y, "query_x": x}
    if mask is not None:
        parts["support_mask"] = mask
    check_episodes(keras.tree.map_structure(lambda t: t[tf.newaxis], parts), None)
    return Task(x, y, x, mask, mask, tf.constant(0))


def first_batch(x: Any, y: Any = None) -> tuple[Any, Any] | None:
    """Returns the first `(episode, query_y)` of the data, or `None` if unknown."""
    if isinstance(x, tf.data.Dataset):
        return next((as_x_y(batch) for batch in x.take(1)), None)
    if isinstance(x, keras.utils.PyDataset):
        return as_x_y(x[0]) if len(x) else None
    return (x, y) if isinstance(x, dict) else None


def as_x_y(data: Any) -> tuple[Any, Any]:
    """Splits a batch, or the `validation_data` of `fit`, into inputs and targets."""
    if isinstance(data, (tuple, list)):
        return data[0], data[1] if len(data) > 1 else None
    return data, None


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
    answers = [] if query_y is None else keras.tree.flatten(query_y)
    _check_leading("support_y", targets, "support_x", support[0])
    _check_leading("query_y", answers, "query_x", queries[0])
    _check_leading(
        "query_x", [q[:, :1] for q in queries], "support_x", support[0][:, :1]
    )
    _check_mask("support_mask", episode.get("support_mask"), "support_x", support[0])
    _check_mask("query_mask", episode.get("query_mask"), "query_x", queries[0])
    for name, tensors in (
        ("support_x", support),
        ("support_y", targets),
        ("query_x", queries),
        ("query_y", answers),
    ):
        for tensor in tensors:
            _check_finite(name, tensor)


def predict_first(model: keras.Model, x: Any) -> Any:
    """Returns the predictions for the first task of `x`, of shape `[T, ...]`."""
    # Out-of-range labels raise an error on CPUs but silently give NaN on GPUs.
    with tf.device("CPU:0"):
        if isinstance(x, dict) and "support_x" in x:
            one = keras.tree.map_structure(lambda t: t[:1], task_tensors(x))
            outputs = model(one, training=False)
            return keras.tree.map_structure(lambda t: t[0], outputs)
        first = keras.tree.map_structure(lambda t: _as_tensor(t)[0], x)
        return model(first, training=False)


def check_loss(loss: InnerLoss, outputs: Any, y: Any, name: str) -> None:
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
            for one, _, target, output in loss.pairs(y, outputs):
                function = getattr(one, "fn", getattr(one, "function", None))
                if function in _ELEMENT_BY_ELEMENT:
                    _check_same_shape(*same_rank(target, output))
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                f"Invalid value for `{name}`. Expected targets that match the loss and "
                f"the output of the learner. Received: {name} with {_describe(y)}; "
                f"learner output with {_describe(outputs)}. Error from the loss: "
                f"{_first_line(error)}"
            ) from error


def _check_same_shape(y_true, y_pred):
    if not y_true.shape.is_compatible_with(y_pred.shape):
        raise ValueError(
            "targets and predictions have different shapes, and the loss would "
            "broadcast them."
        )


def _describe(structure):
    return ", ".join(
        f"shape {tuple(t.shape)} and values from {np.min(t):.4g} to {np.max(t):.4g}"
        for t in keras.tree.flatten(structure)
    )


def _first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])


def _check_leading(name, tensors, other_name, other):
    for tensor in tensors:
        if tuple(tensor.shape[:2]) != tuple(other.shape[:2]):
            raise ValueError(
                f"Expected `{name}` and `{other_name}` to have the same first two axes "
                "(tasks and examples). Received: "
                f"{name}.shape={tuple(tensor.shape)}, "
                f"{other_name}.shape={tuple(other.shape)}"
            )


def _check_mask(name, mask, other_name, other):
    if mask is None:
        return
    if tuple(mask.shape) != tuple(other.shape[:2]):
        raise ValueError(
            f"Expected the shape of `{name}` to be the first two axes of "
            f"`{other_name}` (tasks and examples). Received: "
            f"{name}.shape={tuple(mask.shape)}, "
            f"{other_name}.shape={tuple(other.shape)}"
        )
    if not np.asarray(mask).any(axis=1).all():
        raise ValueError(
            f"Expected `{name}` to keep at least 1 example per task. Received: a task "
            "with 0 examples"
        )


def _check_finite(name, tensor):
    array = np.asarray(tensor)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"Expected finite values in `{name}`. Received: {name} with {bad} NaN or "
            "infinite values"
        )
