"""Model-agnostic meta-learning: a few gradient steps from a learned initialisation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation.base import Adaptation, Adapted, Task
from keras_metaloss.adaptation.inner_loss import InnerLoss
from keras_metaloss.checks import check_non_negative, check_positive_integer

__all__ = ["MAML"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MAML(Adaptation):
    """Adapts by gradient descent on the support set; the outer loop sees through it.

    `theta_0 = theta`, `theta_{k+1} = theta_k - rate * grad L_support(theta_k)`, and the
    outer loop minimises the query loss of `theta_K` with respect to `theta`.

    Args:
        steps: number of inner updates K in training.
        learning_rate: inner step size, a number not below zero.
        first_order: `True` treats the inner gradients as constants (FOMAML): less
            time and memory, another direction.
        evaluation_steps: number of inner updates in `evaluate`, `predict`, `adapt`
            and `export`; `None` takes `steps`.
        loss: inner loss, any Keras loss (or a structure of them for several
            outputs). `None` takes the one given to `compile`.
        normalization: where batch normalisation takes its moments from, one of
            `"support"`, `"batch"` (transductive), `"moving"`, `"per_step"`; see
            `kml.adaptation.Adaptation`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model = kml.MetaModel(learner, kml.adaptation.MAML(steps=2, learning_rate=0.1))
    >>> model.compile(optimizer="adam", loss="mse")

    Reference:
        Finn et al., "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks", 2017, algorithm 1; first order: section 5.2.
    """

    def __init__(
        self,
        steps: int = 1,
        learning_rate: float = 0.01,
        *,
        first_order: bool = False,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "support",
        name: str | None = None,
    ) -> None:
        super().__init__(loss=loss, normalization=normalization, name=name)
        self.steps = check_positive_integer("steps", steps)
        self.learning_rate = check_non_negative("learning_rate", learning_rate)
        self.first_order = bool(first_order)
        self.evaluation_steps = evaluation_steps
        if evaluation_steps is not None:
            check_positive_integer("evaluation_steps", evaluation_steps)

    def adapt(self, task: Task, inner_loss: InnerLoss, *, training: bool) -> Adapted:
        adapted = self.initial(task)
        steps = self.steps if training else self.evaluation_steps or self.steps
        for _ in range(steps):
            adapted = self._step(adapted, task, inner_loss, training=training)
        return adapted

    def _step(self, adapted, task, inner_loss, *, training):
        with tf.GradientTape() as tape:
            tape.watch(adapted.weights)
            output = self.support_pass(task, adapted, training=training)
            loss = inner_loss(
                task.support_y, output.outputs, task.support_mask, output.penalties
            )
        gradients = tape.gradient(
            loss, adapted.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        if self.first_order:
            gradients = [tf.stop_gradient(g) for g in gradients]
        weights = [
            w - tf.constant(self.learning_rate, w.dtype) * g
            for w, g in zip(adapted.weights, gradients, strict=True)
        ]
        return Adapted(
            weights,
            output.state,
            adapted.steps + 1,
            adapted.first_gradients or gradients,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "first_order": self.first_order,
            "evaluation_steps": self.evaluation_steps,
        }
