"""Base class of the task weighting methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

__all__ = ["TaskWeighting", "TaskWeights", "gradient_products"]


class TaskWeights(NamedTuple):
    """Weights of the gradients of K tasks in one step.

    Attributes:
        shared: `[K]`. Shared parameters get the gradient `sum_k shared[k] * grad L_k`.
        specific: `[K]`. All other parameters get the gradient
            `sum_k specific[k] * grad L_k`.

    Example:

    >>> import tensorflow as tf, keras_metaloss as kml
    >>> half = tf.constant([0.5, 0.5])
    >>> weights = kml.losses.weighting.TaskWeights(shared=half, specific=2 * half)
    >>> weights.specific.numpy().tolist()
    [1.0, 1.0]
    """

    shared: tf.Tensor
    specific: tf.Tensor


class TaskWeighting(keras.layers.Layer):
    """Base class of methods that combine the losses of several tasks in one step.

    A method implements `compute_weights`, which returns the weights of the tasks'
    gradients, or `objective`, whose derivatives are the weights. Each method uses a
    linear combination of the tasks' gradients. Its coefficients depend only on the
    losses, `[K]`, and on the inner products of the gradients, `[K, K]`, so methods do
    not receive the gradients themselves.

    `kml.MultiTaskModel` calls the methods of this class. A custom training loop calls
    `build_for` once. In each step it calls `compute_weights`, `parameter_gradients` and
    `update`, and after each epoch `end_epoch`. `compute_weights`, `objective` and
    `parameter_gradients` do not change any state. `update` and `end_epoch` change state
    and are called only in training.

    Parameters trained by the optimizer are trainable weights of this layer. All other
    state is stored in non-trainable weights. Both are saved with the model.

    Args:
        name: Name of the layer. Defaults to `None`, which generates one.

    Example:

    >>> import tensorflow as tf
    >>> class SumOfSquares(TaskWeighting):
    ...     def objective(self, losses):
    ...         return tf.reduce_sum(losses**2)
    >>> weighting = SumOfSquares()
    >>> weighting.build_for(["a", "b"])
    >>> print(weighting.compute_weights(tf.constant([1.0, 3.0])).shared)
    tf.Tensor([2. 6.], shape=(2,), dtype=float32)
    """

    #: `True` if `compute_weights` needs the inner products of the tasks' gradients.
    needs_gradients = False

    def __init__(self, *, name: str | None = None) -> None:
        # Full precision, because the task weights affect every gradient.
        dtype = "float64" if keras.config.floatx() == "float64" else "float32"
        super().__init__(name=name, dtype=dtype)
        # Empty until `build_for`.
        self.tasks: tuple[str, ...] = ()
        self.built = True

    def build_for(self, tasks: Sequence[str]) -> None:
        """Creates the variables for the tasks. Called once.

        Args:
            tasks: Names of the tasks, in the order of the losses.

        Raises:
            ValueError: If there are fewer than two tasks, a name occurs twice, or the
                object is already attached to other tasks.
        """
        tasks = tuple(tasks)
        if len(tasks) < 2 or len(set(tasks)) < len(tasks):
            raise ValueError(
                "Invalid value for argument `tasks`. Expected at least two different "
                f"task names. Received: tasks={tasks!r}"
            )
        if self.tasks == tasks:
            return
        if self.tasks:
            raise ValueError(
                "Invalid value for argument `tasks`. This "
                f"`{type(self).__name__}` is already attached to the tasks "
                f"{self.tasks}. Create a new object for other tasks. Received: "
                f"tasks={tasks!r}"
            )
        self.tasks = tasks
        self.create_variables()

    def create_variables(self) -> None:
        """Creates the variables of the method. `self.tasks` is already set."""

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        """Computes the objective that is minimized. Defaults to the sum of the losses.

        `kml.MultiTaskModel` reports it as `loss` in training and evaluation. Methods
        that do not minimize an objective keep the sum of the losses.

        Args:
            losses: Unweighted losses, `[K]`.

        Returns:
            A scalar.
        """
        return tf.reduce_sum(losses)

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        """Computes the weights of the tasks' gradients.

        By default these are the derivatives of `objective` with respect to the losses.

        Args:
            losses: Unweighted losses, `[K]`.
            products: Inner products `[K, K]` of the tasks' gradients with respect to
                the shared parameters, as returned by `gradient_products`. Required if
                `needs_gradients` is `True`. Defaults to `None`.

        Returns:
            `TaskWeights`.
        """
        with tf.GradientTape() as tape:
            tape.watch(losses)
            value = self.objective(losses)
        weights = tape.gradient(value, losses)
        return TaskWeights(weights, weights)

    def parameter_gradients(self, losses: tf.Tensor) -> list[tf.Tensor]:
        """Computes the gradients of `objective` for this layer's trainable weights.

        Args:
            losses: Unweighted losses, `[K]`.

        Returns:
            One gradient per trainable weight, in the order of `trainable_weights`.
        """
        variables = self.trainable_weights
        if not variables:
            return []
        with tf.GradientTape() as tape:
            value = self.objective(losses)
        return tape.gradient(value, variables)

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        """Updates the state after one training step. Does nothing by default.

        Args:
            losses: Unweighted losses of the step, `[K]`.
            products: Inner products `[K, K]` of the tasks' gradients with respect to
                the shared parameters. Required if `needs_gradients` is `True`. Defaults
                to `None`.
        """

    def end_epoch(self) -> None:
        """Updates the state after one training epoch. Does nothing by default."""

    def add_state(
        self,
        name: str,
        shape: tuple[int, ...],
        value: float = 0.0,
        dtype: str | None = None,
    ) -> keras.Variable:
        """Adds a non-trainable weight that has the same value on all replicas.

        Args:
            name: Name of the weight.
            shape: Shape of the weight.
            value: Initial value of all entries. Defaults to `0.0`.
            dtype: Dtype of the weight. Defaults to `None`, which uses the variable
                dtype of the layer.

        Returns:
            The variable.
        """
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
    """Computes the inner products of the tasks' gradients.

    `P_ij = sum_v <g_iv, g_jv>`, with the sum over all parameters v.

    Args:
        gradients: For each of K tasks, the list of its gradients with respect to the
            same parameters.

    Returns:
        Inner products, `[K, K]`.

    Example:

    >>> import tensorflow as tf
    >>> print(gradient_products([[tf.constant([1.0, 2.0])], [tf.constant([3.0, 0.0])]]))
    tf.Tensor(
    [[5. 3.]
     [3. 9.]], shape=(2, 2), dtype=float32)
    """
    total = None
    for by_task in zip(*gradients, strict=True):
        rows = tf.stack([tf.reshape(g, [-1]) for g in by_task])
        # By default, `tf.matmul` on GPUs rounds its inputs to 10 bits (TF32).
        products = tf.stack(
            [tf.reduce_sum(rows * row, axis=1) for row in tf.unstack(rows)]
        )
        total = products if total is None else total + products
    return total
