"""MAML++: MAML with modifications that stabilize training."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative_integer
from keras_metaloss.adaptation._core.functional_learner import Weights
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.adaptation._core.per_step_normalization import row_of_step
from keras_metaloss.adaptation._core.task import Adapted, Task
from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)

__all__ = ["MAMLPlusPlus"]

# Lower bound of K times the weight of an early step, as in the authors' code.
_MIN_WEIGHT = 0.03


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MAMLPlusPlus(GradientAdaptation):
    """MAML with per-layer, per-step rates, multi-step loss and derivative annealing.

    - Inner learning rates: one trained rate per weight tensor and inner step.
    - Multi-step loss: the outer loss is `sum_k v_k L_query(theta_k)` over the inner
      steps k = 1..K. Each `v_k` starts at `1/K`; over `multi_step_updates` outer steps
      the weight moves to the last inner step.
    - Per-step batch normalization: a separate scale and shift for each inner step,
      with the statistics of the support set (`normalization="per_step"`). The per-step
      moving averages of the paper are not implemented: they do not match the
      statistics of a single task, and the authors' code does not use them.
    - Derivative-order annealing: `first_order_updates` outer steps with first-order
      gradients, then second-order gradients.

    The number of outer steps is a saved weight of the method. It continues after
    `compile`, so training can go on with another outer learning rate.

    The paper uses cosine annealing of the outer learning rate: compile with
    `keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, updates))`.

    Args:
        steps: Number of inner steps K in training. Defaults to `5`.
        learning_rate: Non-negative initial value of the inner learning rates. `None`
            uses 0.01. Defaults to `None`.
        multi_step_updates: Number of outer steps over which the multi-step loss is
            annealed. 0 uses only the loss of the last inner step. Defaults to `0`.
        first_order_updates: Number of outer steps with first-order gradients.
            Defaults to `0`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. Steps beyond `steps` use the learning rates of the last step.
            `None` uses `steps`. Defaults to `None`.
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization: `"support"` (of the
            support set, also for queries), `"batch"` (of the queries for queries,
            which is transductive), `"moving"` (moving averages in evaluation) or
            `"per_step"` (like `"support"`, with a separate scale and shift for each
            inner step). Defaults to `"per_step"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = kml.learners.conv4((28, 28, 1), classes=5, filters=8)
    >>> adaptation = kml.adaptation.MAMLPlusPlus(steps=3, multi_step_updates=100)
    >>> model = kml.MetaModel(learner, adaptation)
    >>> [round(float(v), 3) for v in adaptation.outer_weights()]
    [0.333, 0.333, 0.333]

    Reference:
        Antoniou et al., "How to train your MAML", 2019, section 4.
    """

    depends_on_updates = True
    loops_evaluation = True

    def __init__(
        self,
        steps: int = 5,
        learning_rate: float | None = None,
        *,
        multi_step_updates: int = 0,
        first_order_updates: int = 0,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "per_step",
        name: str | None = None,
    ) -> None:
        super().__init__(
            steps,
            learning_rate,
            evaluation_steps=evaluation_steps,
            loss=loss,
            normalization=normalization,
            name=name,
        )
        self.multi_step_updates = check_non_negative_integer(
            "multi_step_updates", multi_step_updates
        )
        self.first_order_updates = check_non_negative_integer(
            "first_order_updates", first_order_updates
        )

    def build_for(self, learner: keras.Model) -> None:
        super().build_for(learner)
        self.rates = self.add_weight(
            name="rates",
            shape=(self.steps, len(learner.trainable_variables)),
            initializer=keras.initializers.Constant(self.learning_rate),
        )

    def trace_key(self, updates: int) -> Any:
        """Returns whether the multi-step loss is still active at `updates`."""
        return updates < self.multi_step_updates

    def outer_path(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> list[Adapted]:
        if training and self.current_trace_key:
            return self.path(task, inner_loss, training=training)
        return [self.adapt(task, inner_loss, training=training)]

    def outer_weights(self) -> tf.Tensor | None:
        """Returns the weights `v_k` of the inner steps, `[K]`, with sum 1."""
        if not self.current_trace_key:
            return None
        min_weight = _MIN_WEIGHT / self.steps
        progress = tf.cast(self.updates / self.multi_step_updates, tf.float32)
        early = tf.maximum((1.0 - progress) / self.steps, min_weight)
        early = tf.where(progress < 1.0, early, 0.0) * tf.ones([self.steps - 1])
        return tf.concat([early, [1.0 - tf.reduce_sum(early)]], axis=0)

    def gradients(
        self,
        adapted: Adapted,
        task: Task,
        inner_loss: InnerLoss | None,
        *,
        training: bool,
    ) -> tuple[Weights, Any]:
        gradients, state = super().gradients(
            adapted, task, inner_loss, training=training
        )
        if not (training and self.first_order_updates):
            return gradients, state
        second_order = self.updates >= self.first_order_updates
        return [_stop_gradient_unless(second_order, g) for g in gradients], state

    def update(
        self,
        step: int | tf.Tensor,
        gradients: Weights,
        optimizer_state: Any,
        weights: Weights,
    ) -> tuple[Weights, Any]:
        rates = tf.convert_to_tensor(self.rates)[row_of_step(step, self.steps - 1)]
        new = [
            w - tf.cast(rates[index], w.dtype) * g
            for index, (w, g) in enumerate(zip(weights, gradients, strict=True))
        ]
        return new, optimizer_state

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["optimizer"], config["first_order"]
        return {
            **config,
            "multi_step_updates": self.multi_step_updates,
            "first_order_updates": self.first_order_updates,
        }


def _stop_gradient_unless(condition: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Returns `value`, with a gradient only if `condition` is true."""
    share = tf.cast(condition, value.dtype)
    return share * value + (1.0 - share) * tf.stop_gradient(value)
