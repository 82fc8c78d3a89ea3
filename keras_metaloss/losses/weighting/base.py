"""What every way of weighing several tasks has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

__all__ = ["TaskWeighting", "TaskWeights", "gradient_products"]


class TaskWeights(NamedTuple):
    """What the gradients of K tasks count in one step.

    Attributes:
        shared: `[K]`; shared parameters get `sum_k shared[k] * grad L_k`.
        specific: `[K]`; all other parameters get `sum_k specific[k] * grad L_k`.
    """

    shared: tf.Tensor
    specific: tf.Tensor


class TaskWeighting(keras.layers.Layer):
    """How the losses of several tasks, or their gradients, become one step.

    Base class of all methods. A method says in `weigh` what each task's gradient counts
    in the step. Every method here gives a linear combination of the tasks' gradients,
    with coefficients that depend on the losses and on the inner products of the
    gradients only, so that is all it is given: `[K]` losses and `[K, K]` products.

    `kml.MultiTaskModel` calls it; in a training loop of one's own the order is
    `attach` (once), then for each step `weigh`, `parameter_gradients` and `update`, and
    `end_epoch` behind each epoch. `weigh`, `objective` and `parameter_gradients` change
    nothing; `update` and `end_epoch` change state and belong to training only.

    Parameters that the optimizer trains are this layer's trainable weights, all other
    state its non-trainable ones: both are saved with the model.

    Args:
        name: name of the layer.
    """

    #: Whether `weigh` needs the inner products of the tasks' gradients.
    needs_gradients = False

    def __init__(self, *, name: str | None = None) -> None:
        # Never half precision: these are a few numbers, and they decide about all.
        dtype = "float64" if keras.config.floatx() == "float64" else "float32"
        super().__init__(name=name, dtype=dtype)
        self.tasks: tuple[str, ...] | None = None
        self.built = True

    def attach(self, tasks: Sequence[str]) -> None:
        """Makes the variables for these tasks. Called once.

        Args:
            tasks: their names, in the order of the losses.

        Raises:
            ValueError: if there are fewer than two, a name occurs twice, or the object
                already belongs to other tasks.
        """
        tasks = tuple(tasks)
        if len(tasks) < 2 or len(set(tasks)) < len(tasks):
            raise ValueError(
                "Invalid value for argument `tasks`. Expected at least two different "
                f"names. Received: tasks={tasks!r}"
            )
        if self.tasks == tasks:
            return
        if self.tasks is not None:
            raise ValueError(
                f"Expected the tasks {self.tasks} that this `{type(self).__name__}` "
                f"was made for; make a new one for others. Received: tasks={tasks!r}"
            )
        self.tasks = tasks
        self.create_variables()

    def create_variables(self) -> None:
        """Adds the variables of the method; `self.tasks` is known."""

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        """What is minimised, where there is such a thing; else the sum of losses.

        Shown as `loss` in training and evaluation.

        Args:
            losses: `[K]`.

        Returns:
            A scalar.
        """
        return tf.reduce_sum(losses)

    def weigh(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        """What each task's gradient counts. By default the gradient of `objective`.

        Args:
            losses: `[K]`, not weighted.
            products: `[K, K]`, inner products of the tasks' gradients of the shared
                parameters, as `gradient_products` gives them.

        Returns:
            `TaskWeights`.
        """
        with tf.GradientTape() as tape:
            tape.watch(losses)
            value = self.objective(losses)
        weights = tape.gradient(value, losses)
        return TaskWeights(weights, weights)

    def parameter_gradients(self, losses: tf.Tensor) -> list[tf.Tensor]:
        """Gradients of `objective` with respect to this layer's trainable weights."""
        variables = self.trainable_weights
        if not variables:
            return []
        with tf.GradientTape() as tape:
            value = self.objective(losses)
        return tape.gradient(value, variables)

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        """Changes the state after one training step; arguments as of `weigh`."""

    def end_epoch(self) -> None:
        """Changes the state after one epoch of training."""

    def add_state(
        self,
        name: str,
        shape: tuple[int, ...],
        value: float = 0.0,
        dtype: str | None = None,
    ) -> keras.Variable:
        """Adds state that no optimizer trains, the same on every replica."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.Constant(value),
            dtype=dtype,
            trainable=False,
            aggregation="only_first_replica",
        )

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def gradient_products(gradients: Sequence[Sequence[Any]]) -> tf.Tensor:
    """Inner products of the tasks' gradients.

    `P_ij = sum_v <g_iv, g_jv>` over parameters v.

    Args:
        gradients: for each of K tasks its gradients of the same parameters.

    Returns:
        `[K, K]`.

    Example:

    >>> import tensorflow as tf
    >>> print(gradient_products([[tf.constant([1.0, 2.0])], [tf.constant([3.0, 0.0])]]))
    tf.Tensor(
    [[5. 3.]
     [3. 9.]], shape=(2, 2), dtype=float32)
    """
    total = None
    for of_variable in zip(*gradients, strict=True):
        rows = tf.stack([tf.reshape(g, [-1]) for g in of_variable])
        # Not a matmul: on GPUs that rounds to 10 bits (TF32) unless told otherwise.
        products = tf.stack(
            [tf.reduce_sum(rows * row, axis=1) for row in tf.unstack(rows)]
        )
        total = products if total is None else total + products
    return total
