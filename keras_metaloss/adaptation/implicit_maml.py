"""MAML with the gradient that the end of the inner loop implies."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation.base import Adapted, Task
from keras_metaloss.adaptation.functional import Weights
from keras_metaloss.adaptation.inner_loss import InnerLoss
from keras_metaloss.adaptation.looped import LoopedAdaptation
from keras_metaloss.checks import check_non_negative, check_positive_integer

__all__ = ["ImplicitMAML"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ImplicitMAML(LoopedAdaptation):
    """Solves a regularised inner problem; differentiates its solution, not the path.

    `phi = argmin_w L_support(w) + strength / 2 |w - theta|^2`, reached by `steps` inner
    updates. At the solution `d phi / d theta = (I + H / strength)^-1` with the Hessian
    H of the support loss at phi, applied to the query gradient by conjugate gradients
    with Hessian-vector products. Memory does not depend on `steps`; the gradient is as
    good as the solution.

    Args:
        steps: number of inner updates in training.
        learning_rate: inner step size; `None` is 0.01, or the rate of `optimizer`.
        strength: weight of the pull towards the initialisation (lambda in the paper),
            above zero.
        solver_steps: conjugate gradient iterations; the paper makes 5.
        optimizer: a Keras optimizer whose settings the inner loop takes.
        evaluation_steps: number of inner updates in `evaluate`, `predict`, `adapt`
            and `export`; `None` takes `steps`.
        loss: as in `kml.adaptation.MAML`.
        normalization: `"support"`, `"batch"` or `"moving"`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = kml.learners.mlp((1,), 1)
    >>> model = kml.MetaModel(learner, kml.adaptation.ImplicitMAML(16, 0.05))
    >>> model.compile(optimizer="adam", loss="mse")

    Reference:
        Rajeswaran et al., "Meta-Learning with Implicit Gradients", 2019, equations 3
        and 6, algorithm 2.
    """

    # It would drop the gradient given here for the operations' own.
    vectorizable = False

    def __init__(
        self,
        steps: int = 16,
        learning_rate: float | None = None,
        *,
        strength: float = 2.0,
        solver_steps: int = 5,
        optimizer: keras.optimizers.Optimizer | None = None,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "support",
        name: str | None = None,
    ) -> None:
        super().__init__(
            steps,
            learning_rate,
            optimizer=optimizer,
            evaluation_steps=evaluation_steps,
            loss=loss,
            normalization=normalization,
            name=name,
        )
        self.strength = check_non_negative("strength", strength)
        if not self.strength:
            raise ValueError(
                "Invalid value for argument `strength`. Expected a number above zero. "
                f"Received: strength={strength!r}"
            )
        self.solver_steps = check_positive_integer("solver_steps", solver_steps)

    def adapt(self, task: Task, inner_loss: InnerLoss, *, training: bool) -> Adapted:
        adapted = self.descend(task, inner_loss, training=training, pull=self.strength)

        def implicit(*upstream):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(adapted.weights)
                gradients, _ = self.gradients(
                    adapted, task, inner_loss, training=training
                )

            def product(vector):
                hessian = tape.gradient(
                    gradients,
                    adapted.weights,
                    output_gradients=vector,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                return _plus(vector, 1.0 / self.strength, hessian)

            return conjugate_gradients(product, list(upstream), self.solver_steps)

        @tf.custom_gradient
        def solution(*theta):
            del theta
            return [tf.identity(w) for w in adapted.weights], implicit

        theta = self._functional.initial_weights()
        return adapted._replace(weights=list(solution(*theta)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "strength": self.strength,
            "solver_steps": self.solver_steps,
        }


def conjugate_gradients(product: Any, target: Weights, steps: int) -> Weights:
    """Solves `A x = target` for a symmetric positive definite A.

    Args:
        product: from `v` to `A v`.
        target: a list of tensors, taken as one vector.
        steps: number of iterations.

    Returns:
        `x`, a list like `target`. Iterations stop to change it once it is exact.
    """
    x = [tf.zeros_like(t) for t in target]
    residual = direction = target
    square = _dot(residual, residual)
    for _ in range(steps):
        image = product(direction)
        length = tf.math.divide_no_nan(square, _dot(direction, image))
        x = _plus(x, length, direction)
        residual = _plus(residual, -length, image)
        previous, square = square, _dot(residual, residual)
        direction = _plus(residual, tf.math.divide_no_nan(square, previous), direction)
    return x


def _plus(a, factor, b):
    return [u + factor * v for u, v in zip(a, b, strict=True)]


def _dot(a, b):
    return tf.add_n([tf.reduce_sum(u * v) for u, v in zip(a, b, strict=True)])
