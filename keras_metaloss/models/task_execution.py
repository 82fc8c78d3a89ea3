"""How a function of one task is run for a batch of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation import Adaptation
from keras_metaloss.checks import check_choice
from keras_metaloss.layers import ContextVector

__all__ = ["TASK_EXECUTIONS", "TaskExecution", "choose_task_execution"]

TASK_EXECUTIONS = ("auto", "map", "vectorized", "unrolled")

# At this many tasks side by side two cores are busy; more only takes memory.
_PARALLEL_TASKS = 4

# `tf.vectorized_map` turns these into one batched operation even where each task
# has weights of its own. A convolution it would turn into a slow loop.
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
    """A way to run tasks, and why it was chosen.

    Attributes:
        name: `"map"` (one task after another in a loop, some side by side),
            `"vectorized"` (all tasks in each operation) or `"unrolled"` (a copy of
            the operations for each task).
        reason: one sentence.
    """

    name: str
    reason: str

    def __call__(
        self,
        function: Callable[[Any], Any],
        tasks: Any,
        signature: Any,
    ) -> Any:
        """Applies `function` to each task and stacks what it returns.

        Args:
            function: from the tensors of one task to a structure of tensors.
            tasks: structure of tensors with a leading task axis.
            signature: structure of dtypes of what `function` returns.

        Returns:
            The structure of results, each with a leading task axis.
        """
        if self.name == "vectorized":
            return tf.vectorized_map(function, tasks)
        count = keras.tree.flatten(tasks)[0].shape[0]
        # An export takes any number of tasks, which cannot be copied out.
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
    """Settles `"auto"` by what the learner contains and what the adaptation does.

    Args:
        requested: one of `TASK_EXECUTIONS`.
        learner: a built Keras model.
        adaptation: the method that adapts it.

    Raises:
        ValueError: if `requested` is unknown, or wrong for the adaptation.
    """
    check_choice("task_execution", requested, TASK_EXECUTIONS)
    if requested == "vectorized" and not adaptation.vectorizable:
        raise ValueError(
            "Invalid value for argument `task_execution`. Expected another one for "
            f"{type(adaptation).__name__}, whose gradient does not survive it. "
            f"Received: task_execution={requested!r}"
        )
    if requested != "auto":
        return TaskExecution(requested, "It was asked for.")
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
            f"{type(adaptation).__name__} defines its own gradient, which running all "
            "tasks in one operation would lose.",
        )
    if others:
        return TaskExecution(
            "map",
            f"The learner contains {', '.join(others)}, which run fastest task by task "
            "when each task has weights of its own.",
        )
    return TaskExecution(
        "vectorized", "Every layer of the learner runs on all tasks in one operation."
    )


def _is_vectorizable(layer):
    if type(layer) in (keras.Sequential, keras.Model) or _is_functional(layer):
        return True
    return type(layer) in _VECTORIZABLE


def _is_functional(layer):
    return isinstance(layer, keras.Model) and hasattr(layer, "operations")


def _unrolled(function, tasks, count):
    results = [
        function(keras.tree.map_structure(lambda t, i=i: t[i], tasks))
        for i in range(count)
    ]
    return keras.tree.map_structure(lambda *values: tf.stack(values), *results)
