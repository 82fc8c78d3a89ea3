"""MAML with implicit gradients (iMAML)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive, check_positive_integer
from keras_metaloss.adaptation._core.functional_learner import Weights
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.adaptation._core.task import Adapted, Task
from keras_metaloss.adaptation.gradient_based._looped_adaptation import LoopedAdaptation

__all__ = ["ImplicitMAML"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ImplicitMAML(LoopedAdaptation):
    """MAML that differentiates the solution of a regularized inner problem.

    `phi = argmin_w L_support(w) + strength / 2 |w - theta|^2`, approximated by `steps`
    inner steps. At the solution `d phi / d theta = (I + H / strength)^-1`, where H is
    the Hessian of the support loss at phi. Conjugate gradients with Hessian-vector
    products apply this matrix to the query gradient. Memory does not depend on
    `steps`. The accuracy of the gradient depends on the accuracy of the solution.

    Args:
        steps: Number of inner steps in training. Defaults to `16`.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or 0.01 without an optimizer. Defaults to `None`.
        strength: Positive weight of the proximal term `|w - theta|^2 / 2` (lambda in
            the paper). Defaults to `2.0`.
        solver_steps: Number of conjugate gradient iterations. The paper uses 5.
            Defaults to `5`.
        optimizer: Keras optimizer (`SGD`, `RMSprop`, `Adam` or `AdamW`) whose
            settings define the inner update. `None` uses gradient descent. Defaults
            to `None`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. `None` uses `steps`. Defaults to `None`.
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization: `"support"` (of the
            support set, also for queries), `"batch"` (of the queries for queries,
            which is transductive) or `"moving"` (moving averages in evaluation).
            Defaults to `"support"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, or if both `learning_rate` and
            `optimizer` are passed.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = kml.learners.mlp((1,), 1)
    >>> model = kml.MetaModel(learner, kml.adaptation.ImplicitMAML(16, 0.05))
    >>> model.compile(optimizer="adam", loss="mse")

    Reference:
        Rajeswaran et al., "Meta-Learning with Implicit Gradients", 2019, equations 3
        and 6, algorithm 2.
    """

    # `tf.vectorized_map` drops custom gradients.
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
        self.strength = check_positive("strength", strength)
        self.solver_steps = check_positive_integer("solver_steps", solver_steps)

    def adapt(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> Adapted:
        adapted = self.descend(
            task, inner_loss, training=training, proximal_weight=self.strength
        )

        def implicit(*upstream: tf.Tensor) -> Weights:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(adapted.weights)
                gradients, _ = self.gradients(
                    adapted, task, inner_loss, training=training
                )

            def product(vector: Weights) -> Weights:
                hessian = tape.gradient(
                    gradients,
                    adapted.weights,
                    output_gradients=vector,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                return _add_scaled(vector, 1.0 / self.strength, _dense(hessian))

            target = _dense(upstream)
            return conjugate_gradients(product, target, self.solver_steps)

        @tf.custom_gradient
        def solution(*theta: tf.Tensor) -> tuple[Weights, Callable[..., Weights]]:
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
        product: Function that maps `v` to `A v`.
        target: List of tensors, treated as one vector.
        steps: Number of iterations.

    Returns:
        `x`, a list with the structure of `target`. Iterations after convergence leave
        it unchanged.
    """
    x = [tf.zeros_like(t) for t in target]
    residual = direction = target
    square = _dot(residual, residual)
    for _ in range(steps):
        image = product(direction)
        length = tf.math.divide_no_nan(square, _dot(direction, image))
        x = _add_scaled(x, length, direction)
        residual = _add_scaled(residual, -length, image)
        previous, square = square, _dot(residual, residual)
        ratio = tf.math.divide_no_nan(square, previous)
        direction = _add_scaled(residual, ratio, direction)
    return x


def _add_scaled(a: Weights, factor: Any, b: Weights) -> Weights:
    """Returns `a + factor * b`."""
    return [u + factor * v for u, v in zip(a, b, strict=True)]


def _dot(a: Weights, b: Weights) -> tf.Tensor:
    return tf.add_n([tf.reduce_sum(u * v) for u, v in zip(a, b, strict=True)])


def _dense(gradients: Sequence[Any]) -> Weights:
    """Converts sparse gradients of gathers to dense tensors."""
    return [tf.convert_to_tensor(g) for g in gradients]
