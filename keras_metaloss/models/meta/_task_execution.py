"""Execution of a function of one task for a batch of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.checks import check_choice
from keras_metaloss.adaptation import Adaptation
from keras_metaloss.layers import ContextVector

__all__ = ["TASK_EXECUTIONS", "TaskExecution", "choose_task_execution"]

TASK_EXECUTIONS = ("auto", "map", "vectorized", "unrolled")

# Four parallel tasks keep two cores busy. More tasks would only use more memory.
_PARALLEL_TASKS = 4

# Layers that `tf.vectorized_map` turns into one batched operation, even if each task
# has its own weights. It would turn a convolution into a slow loop.
_VECTORIZABLE = (
    keras.layers.InputLayer,
    keras.layers.Dense,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Softmax,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Rescaling,
    keras.layers.Concatenate,
    keras.layers.Add,
    keras.layers.LayerNormalization,
    ContextVector,
    keras.layers.BatchNormalization,
)


class TaskExecution(NamedTuple):
    """A method of running tasks and the reason for choosing it.

    Attributes:
        name: `"map"` (a loop over tasks, some of them in parallel), `"vectorized"` (all
            tasks in each operation) or `"unrolled"` (a copy of the operations per
            task).
        reason: One sentence that explains the choice.
    """

    name: str
    reason: str

    def __call__(
        self,
        function: Callable[[Any], Any],
        tasks: Any,
        signature: Any,
    ) -> Any:
        """Applies `function` to each task and stacks the results.

        Args:
            function: Maps the tensors of one task to a structure of tensors.
            tasks: Structure of tensors with a leading task axis.
            signature: Structure of the dtypes of the result of `function`.

        Returns:
            The structure of results, each with a leading task axis.
        """
        if self.name == "vectorized":
            return tf.vectorized_map(function, tasks)
        count = keras.tree.flatten(tasks)[0].shape[0]
        # An exported model accepts any number of tasks, which cannot be unrolled.
        if self.name == "unrolled" and count is not None:
            return _unrolled(function, tasks, count)
        return tf.map_fn(
            function,
            tasks,
            fn_output_signature=signature,
            parallel_iterations=_PARALLEL_TASKS,
        )


def choose_task_execution(
    requested: str, learner: keras.Model, adaptation: Adaptation
) -> TaskExecution:
    """Resolves `"auto"` based on the layers of the learner and the adaptation.

    Args:
        requested: One of `TASK_EXECUTIONS`.
        learner: A built Keras model.
        adaptation: The method that adapts the learner.

    Raises:
        ValueError: If `requested` is unknown or the adaptation does not support it.
    """
    check_choice("task_execution", requested, TASK_EXECUTIONS)
    if requested == "vectorized" and not adaptation.vectorizable:
        raise ValueError(
            "Invalid value for argument `task_execution`. "
            f'{type(adaptation).__name__} does not support "vectorized", which drops '
            'custom gradients. Expected "auto", "map" or "unrolled". '
            f"Received: task_execution={requested!r}"
        )
    if requested != "auto":
        return TaskExecution(requested, "Requested explicitly.")
    others = sorted(
        {
            type(layer).__name__
            for layer in [learner, *_compat.flatten_layers(learner)]
            if not _is_vectorizable(layer)
        }
    )
    if not adaptation.vectorizable:
        return TaskExecution(
            "map",
            f"{type(adaptation).__name__} defines a custom gradient, which "
            '"vectorized" would drop.',
        )
    if others:
        return TaskExecution(
            "map",
            "The learner contains layers that run faster one task at a time when each "
            f"task has its own weights: {', '.join(others)}.",
        )
    return TaskExecution(
        "vectorized", "Each layer of the learner runs all tasks in one operation."
    )


def _is_vectorizable(layer: keras.layers.Layer) -> bool:
    if type(layer) in (keras.Sequential, keras.Model) or _is_functional(layer):
        return True
    return type(layer) in _VECTORIZABLE


def _is_functional(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model) and hasattr(layer, "operations")


def _unrolled(function: Callable[[Any], Any], tasks: Any, count: int) -> Any:
    results = [
        function(keras.tree.map_structure(lambda t, i=i: t[i], tasks))
        for i in range(count)
    ]
    return keras.tree.map_structure(lambda *values: tf.stack(values), *results)
