"""Outer steps, which compute the gradient for the outer optimizer."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss.adaptation import Adaptation, Task, TaskResult
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.models.meta._outer_loss import is_separable
from keras_metaloss.models.meta._task_execution import TaskExecution

__all__ = [
    "JointStep",
    "OuterGradient",
    "OuterStep",
    "PerTaskStep",
    "WeightDifferenceStep",
    "outer_step_for",
]


class OuterGradient(NamedTuple):
    """Result of an outer step.

    Attributes:
        loss: The outer loss, a scalar.
        gradients: One tensor per trained variable, scaled like the optimizer's losses.
        result: Predictions and state of the tasks.
    """

    loss: tf.Tensor
    gradients: list[tf.Tensor]
    result: TaskResult


@dataclasses.dataclass(frozen=True)
class OuterStep(abc.ABC):
    """Base class that computes the outer loss and gradient of a batch of tasks.

    Args:
        adaptation: Method of adaptation.
        execution: Runs a function for each task of a batch.
        inner_loss: Loss minimized by the inner loop, or `None`.
        outer_loss: Function `(x, y, result, sample_weight) -> scalar`.
        scale_loss: Scales losses and gradients for the optimizer.
        variables: Trained variables.
        with_gradient: Whether the outer loss compares tasks by their gradients.
    """

    adaptation: Adaptation
    execution: TaskExecution
    inner_loss: InnerLoss | None
    outer_loss: Callable[[Any, Any, TaskResult, Any], tf.Tensor]
    scale_loss: Callable[[tf.Tensor], tf.Tensor]
    variables: list[keras.Variable]
    with_gradient: bool

    @abc.abstractmethod
    def __call__(
        self, tensors: dict[str, Any], y: Any, sample_weight: Any
    ) -> OuterGradient:
        """Computes the outer gradient.

        Args:
            tensors: The entries of `Task` by name, each `[T, ...]`.
            y: Query targets, `[T, Q, ...]`.
            sample_weight: Weights of tasks or queries, or `None`.
        """

    def _gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> list[tf.Tensor]:
        gradients = tape.gradient(loss, self.variables)
        # A weight that the adaptation replaces has no gradient.
        return [
            tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(gradients, self.variables, strict=True)
        ]


class JointStep(OuterStep):
    """Differentiates the outer loss of all tasks at once."""

    def __call__(
        self, tensors: dict[str, Any], y: Any, sample_weight: Any
    ) -> OuterGradient:
        with tf.GradientTape() as tape:
            result = self.adaptation.run_batch(
                tensors,
                self.inner_loss,
                self.execution,
                training=True,
                with_gradient=self.with_gradient,
            )
            loss = self.outer_loss(tensors, y, result, sample_weight)
            scaled = self.scale_loss(loss)
        return OuterGradient(loss, self._gradients(tape, scaled), result)


class PerTaskStep(OuterStep):
    """Averages the gradients of the tasks, which saves memory.

    Only the activations of a few tasks are in memory at the same time. The outer loss
    must be the mean of the losses of the tasks.
    """

    def __call__(
        self, tensors: dict[str, Any], y: Any, sample_weight: Any
    ) -> OuterGradient:
        batch = {"x": tensors, "y": y}
        if sample_weight is not None:
            batch["sample_weight"] = sample_weight

        def one_task(elements: dict[str, Any]) -> Any:
            with tf.GradientTape() as tape:
                result = self.adaptation.run_task(
                    Task(**elements["x"]), self.inner_loss, training=True
                )
                single = keras.tree.map_structure(
                    lambda t: t[tf.newaxis], {**elements, "result": result}
                )
                loss = self.outer_loss(
                    single["x"],
                    single["y"],
                    single["result"],
                    single.get("sample_weight"),
                )
                scaled = self.scale_loss(loss)
            return result, loss, self._gradients(tape, scaled)

        signature = (
            self.adaptation.result_signature(tensors, training=True),
            tf.as_dtype(keras.config.floatx()),
            [tf.as_dtype(v.dtype) for v in self.variables],
        )
        result, losses, gradients = self.execution(one_task, batch, signature)
        means = [tf.reduce_mean(g, axis=0) for g in gradients]
        return OuterGradient(tf.reduce_mean(losses), means, result)


class WeightDifferenceStep(OuterStep):
    """Uses initial minus adapted weights, averaged over tasks, as the gradient."""

    def __call__(
        self, tensors: dict[str, Any], y: Any, sample_weight: Any
    ) -> OuterGradient:
        def one_task(entries: dict[str, Any]) -> Any:
            task = Task(**entries)
            adapted = self.adaptation.adapt(task, self.inner_loss, training=True)
            output = self.adaptation.predict(adapted, task, training=True)
            state = self.adaptation.state_values(adapted.state)
            return TaskResult(output.outputs, state), adapted.weights

        weights = self.adaptation.weight_variables()
        signature = (
            self.adaptation.result_signature(tensors, training=True),
            [tf.as_dtype(v.dtype) for v in weights],
        )
        result, adapted = self.execution(one_task, tensors, signature)
        loss = self.outer_loss(tensors, y, result, sample_weight)
        # The optimizer sums over replicas.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        differences = {
            id(v): self.scale_loss(v - tf.reduce_mean(a, axis=0)) / replicas
            for v, a in zip(weights, adapted, strict=True)
        }
        gradients = [differences[id(v)] for v in self.variables]
        return OuterGradient(loss, gradients, result)


def outer_step_for(
    adaptation: Adaptation, execution: TaskExecution, loss: Any
) -> type[OuterStep]:
    """Returns the class of the outer step for an adaptation and a loss.

    Args:
        adaptation: Method of adaptation.
        execution: Runs a function for each task of a batch.
        loss: Argument `loss` of `compile`.
    """
    if adaptation.outer_rule == "weight_difference":
        return WeightDifferenceStep
    separate = adaptation.runs_tasks_separately and execution.name != "vectorized"
    return PerTaskStep if separate and is_separable(loss) else JointStep
