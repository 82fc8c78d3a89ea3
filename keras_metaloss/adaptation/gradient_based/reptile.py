"""Reptile: moves the initialization towards the adapted weights of tasks."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.adaptation._core.task import Adapted, Task
from keras_metaloss.adaptation.gradient_based._looped_adaptation import LoopedAdaptation

__all__ = ["Reptile"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class Reptile(LoopedAdaptation):
    """First-order meta-learning without outer gradients; training ignores queries.

    Let `phi_t` be the adapted weights of task t. The outer optimizer receives
    `theta - mean_t phi_t` instead of a gradient, so `keras.optimizers.SGD(epsilon)`
    computes `theta += epsilon * mean_t (phi_t - theta)`. One task per batch gives the
    serial version of the paper, more tasks give the batched version. Training uses only
    the support set: use many shots in training (15 in the 1-shot experiments of the
    paper) and the desired number of shots in evaluation.

    Args:
        steps: Number of inner steps in training. Defaults to `5`.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or 0.01 without an optimizer. Defaults to `None`.
        batch_size: Number of support examples per inner step, sampled without
            replacement until too few remain. The sample depends on the task and the
            number of outer steps, a saved weight that continues after `compile`.
            `None` uses all examples. Defaults to `None`.
        optimizer: Keras optimizer (`SGD`, `RMSprop`, `Adam` or `AdamW`) whose
            settings define the inner update. The paper uses
            `keras.optimizers.Adam(1e-3, beta_1=0.0)`. `None` uses gradient descent.
            Defaults to `None`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. The paper uses at least 50. `None` uses `steps`. Defaults to
            `None`.
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
    >>> model = kml.MetaModel(learner, kml.adaptation.Reptile(steps=5, batch_size=5))
    >>> model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")

    Reference:
        Nichol et al., "On First-Order Meta-Learning Algorithms", 2018, algorithms 1
        and 2.
    """

    outer_rule = "weight_difference"
    depends_on_updates = True

    def __init__(
        self,
        steps: int = 5,
        learning_rate: float | None = None,
        *,
        batch_size: int | None = None,
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
        self.batch_size = batch_size
        if batch_size is not None:
            check_positive_integer("batch_size", batch_size)

    def adapt(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> Adapted:
        batch = None
        if self.batch_size is not None:
            # With a constant seed in evaluation, predictions depend only on the task.
            seed = tf.constant(0)
            if training:
                updates = tf.convert_to_tensor(self.updates)
                seed = tf.cast(task.stream, tf.int32) * 1009 + updates
            batch = _Batches(task, self.batch_size, seed)
        return self.descend(task, inner_loss, training=training, batch=batch)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "batch_size": self.batch_size}


class _Batches:
    """Minibatches of a support set, reshuffled after each pass over the examples."""

    def __init__(self, task: Task, size: int, seed: tf.Tensor) -> None:
        self._task = task
        first = keras.tree.flatten(task.support_x)[0]
        self._examples = first.shape[0] or tf.shape(first)[0]
        static = isinstance(self._examples, int)
        self._size = (min if static else tf.minimum)(size, self._examples)
        self._seed = seed
        self._batches_per_pass = self._examples // self._size
        if task.support_mask is not None:
            real = tf.reduce_sum(tf.cast(task.support_mask, tf.int32))
            self._batches_per_pass = tf.maximum(real // self._size, 1)

    def __call__(self, step: tf.Tensor) -> Task:
        seed = tf.stack([self._seed, step // self._batches_per_pass])
        keys = tf.random.stateless_uniform([self._examples], seed)
        if self._task.support_mask is not None:
            # Sort padded examples last, so that batches avoid them where possible.
            keys += 2.0 * (1.0 - tf.cast(self._task.support_mask, keys.dtype))
        first = step % self._batches_per_pass * self._size
        rows = tf.gather(tf.argsort(keys), first + tf.range(self._size))
        x, y = keras.tree.map_structure(
            lambda t: tf.gather(t, rows), (self._task.support_x, self._task.support_y)
        )
        mask = self._task.support_mask
        if mask is not None:
            mask = tf.gather(mask, rows)
        return self._task._replace(support_x=x, support_y=y, support_mask=mask)
