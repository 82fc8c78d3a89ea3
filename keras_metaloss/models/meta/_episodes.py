"""Conversion of episode dictionaries to tensors, tasks and specs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation import Task

__all__ = [
    "REQUIRED_KEYS",
    "as_task",
    "as_tensor",
    "as_x_y",
    "batch_tensors",
    "episode_spec",
    "first_batch",
    "task_count",
    "task_tensors",
]

REQUIRED_KEYS = ("support_x", "support_y", "query_x")
_OPTIONAL_KEYS = ("support_mask", "query_mask")


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
            "Invalid value for argument `x`. Expected an episode, a dictionary with "
            f"the keys {REQUIRED_KEYS}. Received: x of type {type(episode).__name__}"
        )
    missing = [key for key in REQUIRED_KEYS if key not in episode]
    unknown = [key for key in episode if key not in REQUIRED_KEYS + _OPTIONAL_KEYS]
    if missing or unknown:
        raise ValueError(
            "Invalid value for argument `x`. Expected an episode with the keys "
            f"{REQUIRED_KEYS} and, optionally, {_OPTIONAL_KEYS}. Received: x with the "
            f"keys {tuple(episode)}"
        )
    return {
        key: keras.tree.map_structure(as_tensor, value)
        for key, value in episode.items()
        if value is not None
    }


def batch_tensors(episode: dict[str, Any]) -> dict[str, Any]:
    """Converts an episode to tensors and adds a random stream per task.

    Tasks are numbered over all replicas, so that each has its own random numbers.
    """
    tensors = task_tensors(episode)
    count = task_count(tensors)
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    return {**tensors, "stream": tf.range(count) + replica * count}


def as_tensor(value: Any) -> tf.Tensor:
    """Converts to a tensor; casts floating-point values to `floatx()`."""
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype.is_floating:
        return tf.cast(tensor, keras.config.floatx())
    return tensor


def episode_spec(tensors: dict[str, Any]) -> dict[str, Any]:
    """Returns specs of an episode, for any number of tasks and examples."""
    return keras.tree.map_structure(
        lambda t: keras.KerasTensor((None, None, *t.shape[2:]), t.dtype.name),
        {key: tensors[key] for key in REQUIRED_KEYS},
    )


def as_task(support_x: Any, support_y: Any, support_mask: Any = None) -> Task:
    """Builds a task that uses its support set as the query set."""
    x, y = keras.tree.map_structure(as_tensor, (support_x, support_y))
    mask = None if support_mask is None else tf.convert_to_tensor(support_mask)
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
